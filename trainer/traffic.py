"""Counts what a step sends between replicas.

Whatever sums or gathers over replicas says so here while it is traced. Unless somebody
measures, that does nothing and adds nothing to the compiled step.

    with measuring() as traffic:
        step.gradients(shares)
    traffic.sent()      # bytes by kind, tensors: rows differ from batch to batch
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

__all__ = ["Traffic", "exchanged", "measuring"]

_here = threading.local()
"""Replicas of a process are traced in threads of their own."""


class Traffic:
    """What one replica puts into the exchanges of a step, in bytes.

    That is the payload: how often it crosses a wire is up to the algorithm. Of N
    replicas a ring all-reduce sends 2 (N - 1) / N times the payload from each, and an
    all-gather sends it to N - 1 others.
    """

    def __init__(self) -> None:
        self._sent: dict[str, list[tf.Tensor]] = {}

    def add(self, kind: str, values: Sequence[tf.Tensor]) -> None:
        """Counts tensors."""
        counted = [tf.size(v, tf.int64) * v.dtype.size for v in values]
        self._sent.setdefault(kind, []).extend(counted)

    def sent(self) -> dict[str, tf.Tensor]:
        """Returns the bytes by kind, int64 scalars."""
        return {kind: tf.add_n(sizes) for kind, sizes in self._sent.items() if sizes}


@contextmanager
def measuring() -> Iterator[Traffic]:
    """Counts what the calling replica exchanges inside the block."""
    before = getattr(_here, "traffic", None)
    _here.traffic = Traffic()
    try:
        yield _here.traffic
    finally:
        _here.traffic = before


def exchanged(kind: str, values: Sequence[tf.Tensor]) -> None:
    """Says that this replica sums or gathers `values` with the others."""
    traffic: Traffic | None = getattr(_here, "traffic", None)
    if traffic is not None:
        traffic.add(kind, values)
