"""What fingerprints stand for, as far as golden rows tell."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pyarrow as pa

from configs.canonical import canonical_text
from configs.columns import categorical_type
from configs.features import SequenceFeature, embedded_features
from configs.job import Job
from configs.manifest import GOLDEN_ROWS
from preprocessing.comparison.example_sets import ExampleSet

__all__ = ["value_names"]


def value_names(sets: Iterable[ExampleSet]) -> dict[int, str]:
    """Returns the text of each categorical value in the golden rows, by fingerprint.

    Equal texts have equal fingerprints, whatever the input.
    """
    texts = {text for found in sets for text in _texts(found)}
    texts.discard("")
    if not texts:
        return {}
    from preprocessing.fingerprinting import fingerprints_of  # brings TensorFlow

    ordered = sorted(texts)
    fingerprints = fingerprints_of(pa.array(ordered, pa.string()), distinct=True)
    return dict(zip(fingerprints.tolist(), ordered, strict=True))


def _texts(found: ExampleSet) -> Iterator[str]:
    if not found.manifest.golden_rows:
        return
    path = found.folder / GOLDEN_ROWS
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    job = found.job
    for name, _ in embedded_features(job.features):
        column = _column_of(job, name)
        if column is None:
            continue
        kind = categorical_type(job, name)
        for row in rows:
            value: Any = row.get(column)
            for part in value if isinstance(value, list) else [value]:
                try:
                    yield canonical_text(part, kind)
                except ValueError:
                    continue


def _column_of(job: Job, name: str) -> str | None:
    """Returns the key of an input in golden rows."""
    feature_name, _, field = name.partition(".")
    feature = job.features[feature_name]
    if isinstance(feature, SequenceFeature):
        return feature.column_of(feature_name, field)
    raw_name = getattr(feature, "raw_name", None)
    return None if raw_name is None else str(raw_name(feature_name))
