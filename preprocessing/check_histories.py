"""Compares sequences that were logged with those built of events.

The impressions are read once, into an example set with both, which is then removed.
What is compared is encoded: fingerprints exactly, numbers up to a tolerance.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import yaml

from configs.errors import JobError
from configs.features import SequenceFeature
from configs.job import Job
from configs.layout import sequence_key
from configs.loading import dump_job, parse_job
from configs.manifest import Manifest
from preprocessing.run import preprocess

__all__ = ["Comparison", "check_histories", "twin_job"]

_ROWS_AT_ONCE = 65_536
_LOGGED, _BUILT = "logged-twin", "built-twin"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How logged and built histories agree.

    Attributes:
        feature: name of the sequence.
        rows: impressions.
        equal: of these, with equal histories.
        longer: the built history has more behaviours than the logged one.
        shorter: it has fewer.
        differing: of equally long ones that are not equal, those in which a field
            differs, by field.
    """

    feature: str
    rows: int
    equal: int
    longer: int
    shorter: int
    differing: dict[str, int]

    def __str__(self) -> str:
        whole = max(self.rows, 1)
        lines = [
            f"{self.feature}: {self.equal:,} of {self.rows:,} histories agree"
            f" ({self.equal / whole:.2%})",
            f"  built ones longer   {self.longer:>14,} ({self.longer / whole:.2%})",
            f"  built ones shorter  {self.shorter:>14,} ({self.shorter / whole:.2%})",
        ]
        lines += [
            f"  as long, {name} differs {count:,} ({count / whole:.2%})"
            for name, count in self.differing.items()
        ]
        return "\n".join(lines)


def check_histories(
    job: Job,
    feature: str | None = None,
    *,
    source: str | None = None,
    gap: str = "0s",
    unit: str = "h",
    tolerance: float = 0.01,
) -> Comparison:
    """Builds a sequence beside the logged one, and compares them.

    Args:
        job: of the logs; none of its artifacts is touched.
        feature: name of the sequence; the only one unless given.
        source: the event log to build it of, where the job says `from: log`.
        gap: the same.
        unit: of ages, the same.
        tolerance: up to which numbers are equal, absolute and relative.

    Raises:
        JobError: if there is no such sequence, or it is not clear how to build it.
        DataError: if the logs cannot be read.
    """
    name = _sequence(job, feature)
    parent = Path(job.data.examples).parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".histories-", dir=parent) as folder:
        twin = twin_job(job, name, f"{folder}/examples", source, gap, unit)
        manifest = preprocess(twin)
        return _compare(twin, name, Path(folder) / "examples", manifest, tolerance)


def twin_job(
    job: Job, name: str, examples: str, source: str | None, gap: str, unit: str
) -> Job:
    """Returns a job whose only features are two twins of a sequence (and what they
    share): one logged, one built.

    Raises:
        JobError: if it is not clear how to build the sequence.
    """
    feature = job.features[name]
    if not isinstance(feature, SequenceFeature):
        raise TypeError(f"{name} is no sequence")
    if not feature.built and source is None:
        raise JobError(
            f"features.{name} is logged (from: log): say of which event log it is to be"
            " built, such as --from click"
        )
    values = yaml.safe_load(dump_job(job))
    sequence = values["features"][name]
    shared = {field.shares for field in feature.fields.values()} - {None}
    kept = {key: values["features"][key] for key in shared}
    logged = _logged(name, sequence)
    built = sequence
    if not feature.built:
        built = _built(sequence) | {"from": source, "gap": gap}
        for field in built["fields"].values():
            if field["kind"] == "numeric":
                field["unit"] = unit
    values["features"] = {**kept, _LOGGED: logged, _BUILT: built}
    values["data"]["examples"] = examples
    tables = {value["table"] for value in kept.values() if "table" in value}
    values["data"]["tables"] = {
        name: table
        for name, table in values["data"].get("tables", {}).items()
        if name in tables
    }
    values["preprocessing"] |= {
        "sampling": {},
        "split": {"by": "hash", "validation": 0.0, "test": 0.0},
        "golden_rows": 0,
    }
    used = {built["from"]}
    logs = values["data"].get("behaviours", {})
    values["data"]["behaviours"] = {k: log for k, log in logs.items() if k in used}
    values["model"] = {
        "embedding_dim": 4,
        "backbone": {"name": "dcn_v2"},
        "tasks": {next(iter(job.labels)): {"losses": [{"name": "bce"}]}},
    }
    values.pop("training", None)
    values.pop("export", None)
    return parse_job(yaml.safe_dump(values, sort_keys=False), origin=job.name)


def _sequence(job: Job, feature: str | None) -> str:
    names = [n for n, f in job.features.items() if isinstance(f, SequenceFeature)]
    if feature is None and len(names) == 1:
        return names[0]
    if feature is None or feature not in names:
        raise JobError(
            "which sequence? Say --feature with one of the job's:"
            f" {', '.join(names) or 'it has none'}"
        )
    return feature


def _logged(name: str, sequence: dict[str, Any]) -> dict[str, Any]:
    """Returns the twin that the impression log has, in the columns that requests
    name."""
    if sequence.get("from", "log") == "log":
        return dict(sequence) | {"fields": _with_columns(name, sequence)}
    fields = _with_columns(name, sequence, built=True)
    rest = {k: v for k, v in sequence.items() if k not in ("from", "gap", "fields")}
    return rest | {"fields": fields}


def _with_columns(
    name: str, sequence: dict[str, Any], *, built: bool = False
) -> dict[str, Any]:
    fields = {}
    for key, field in sequence["fields"].items():
        kept = {k: v for k, v in field.items() if k not in ("row", "unit")}
        column = None if built else kept.get("column")
        fields[key] = kept | {"column": column or f"{name}_{key}"}
    return fields


def _built(sequence: dict[str, Any]) -> dict[str, Any]:
    fields = {
        key: {k: v for k, v in field.items() if k != "column"}
        for key, field in sequence["fields"].items()
    }
    return dict(sequence) | {"fields": fields}


def _compare(
    job: Job, name: str, folder: Path, manifest: Manifest, tolerance: float
) -> Comparison:
    feature = job.features[_BUILT]
    if not isinstance(feature, SequenceFeature):
        raise TypeError(f"{_BUILT} is no sequence")
    counts: Counter[str] = Counter()
    differing: Counter[str] = Counter()
    for batch in _batches(feature, folder, manifest):
        first = next(iter(feature.fields))
        lengths = [np.diff(batch[twin, first][1]) for twin in (_LOGGED, _BUILT)]
        same = lengths[0] == lengths[1]
        counts["rows"] += len(same)
        counts["longer"] += int((lengths[1] > lengths[0]).sum())
        counts["shorter"] += int((lengths[1] < lengths[0]).sum())
        equal = same.copy()
        for field in feature.fields:
            parts = (batch[_LOGGED, field], batch[_BUILT, field])
            unlike = _unlike(*parts, same, tolerance)
            differing[field] += int(unlike.sum())
            equal &= ~unlike
        counts["equal"] += int(equal.sum())
    return Comparison(
        feature=name,
        rows=counts["rows"],
        equal=counts["equal"],
        longer=counts["longer"],
        shorter=counts["shorter"],
        differing=dict(differing),
    )


_Lists = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]
"""Values and offsets of ragged lists."""


def _unlike(
    logged: _Lists, built: _Lists, same: npt.NDArray[np.bool_], tolerance: float
) -> npt.NDArray[np.bool_]:
    """Returns which rows of equally long lists differ in a value."""
    lengths = np.diff(logged[1])
    first, second = (
        values[np.repeat(same, np.diff(ends))] for values, ends in (logged, built)
    )
    close = np.asarray(first == second)
    if first.dtype == np.float32:
        close |= np.isclose(first, second, tolerance, tolerance, equal_nan=True)
    rows = np.repeat(np.flatnonzero(same), lengths[same])
    unlike = np.zeros(len(same), np.bool_)
    unlike[rows[~close]] = True
    return unlike


def _batches(
    feature: SequenceFeature, folder: Path, manifest: Manifest
) -> Iterator[dict[tuple[str, str], _Lists]]:
    """Yields the twins' lists, by twin and field."""
    kinds = {name: field.kind for name, field in feature.fields.items()}
    wanted = {
        sequence_key(twin, field): tf.io.RaggedFeature(
            tf.float32 if kind == "numeric" else tf.int64, row_splits_dtype=tf.int64
        )
        for twin in (_LOGGED, _BUILT)
        for field, kind in kinds.items()
    }
    for split in manifest.splits.values():
        paths = [str(folder / shard.path) for shard in split.shards]
        compression = "GZIP" if any(path.endswith(".gz") for path in paths) else ""
        records = tf.data.TFRecordDataset(tf.constant(paths, tf.string), compression)
        for serialized in records.batch(_ROWS_AT_ONCE):
            parsed = tf.io.parse_example(serialized, wanted)
            yield {
                (twin, field): (
                    parsed[sequence_key(twin, field)].values.numpy(),
                    parsed[sequence_key(twin, field)].row_splits.numpy(),
                )
                for twin in (_LOGGED, _BUILT)
                for field in kinds
            }
