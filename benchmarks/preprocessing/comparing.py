"""Checks that two folders of TFRecords hold the same examples, in any order."""

from collections import Counter
from pathlib import Path
from typing import Any

import tensorflow as tf


def compare(ours: Path, ordinary: Path) -> str:
    """Returns a sentence with the number of equal examples.

    Raises:
        SystemExit: if they differ.
    """
    total = 0
    for split in ("train", "validation", "test"):
        first = _contents(sorted((ours / split).glob("*.tfrecord")))
        second = _contents(sorted(ordinary.glob(f"{split}-*.tfrecord")))
        if first != second:
            only = (first - second).total(), (second - first).total()
            raise SystemExit(f"{split}: {only} examples are in one folder only")
        total += first.total()
    return f"both give the same {total:,} examples"


def _contents(paths: list[Path]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for path in paths:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            found[_canonical(features)] += 1
    return found


def _canonical(features: Any) -> Any:
    entries = []
    for key, feature in features.items():
        kind = feature.WhichOneof("kind")
        values = getattr(feature, kind).value if kind else ()
        entries.append((key, tuple(repr(value) for value in values)))
    return tuple(sorted(entries))
