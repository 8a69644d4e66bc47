"""Fingerprints of Arrow columns: each distinct text of a block is hashed once."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from preprocessing.encoding import fingerprints

__all__ = ["fingerprints_of"]


def fingerprints_of(
    texts: pa.Array, *, distinct: bool = False
) -> npt.NDArray[np.int64]:
    """Returns the fingerprints of canonical texts (no nulls), int64 [N].

    Args:
        texts: Arrow strings.
        distinct: whether hardly any text occurs twice (ids of events), so that looking
            for the distinct ones would only cost time.
    """
    if len(texts) == 0:
        return np.zeros(0, np.int64)
    if distinct:
        return _hashed(texts)
    encoded = texts.dictionary_encode()
    hashed: npt.NDArray[np.int64] = _hashed(encoded.dictionary)[
        encoded.indices.to_numpy()
    ]
    return hashed


def _hashed(texts: Any) -> npt.NDArray[np.int64]:
    values = texts.cast(pa.binary()).to_numpy(zero_copy_only=False)
    hashed: npt.NDArray[np.int64] = fingerprints(tf.constant(values, tf.string)).numpy()
    return hashed
