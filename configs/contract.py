"""The two fingerprints: what data must agree on, and what a checkpoint must."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from configs.columns import categorical_type, raw_name
from configs.errors import DataError
from configs.features import (
    CategoricalFeature,
    CrossedFeature,
    MultiValuedFeature,
    SequenceFeature,
    SequenceField,
)
from configs.histories import age_unit, behaviour_column, built_sequences
from configs.job import Job

__all__ = [
    "check_same_contract",
    "data_contract",
    "fingerprint",
    "model_contract",
]

Contract = dict[str, Any]

_PARTS = ("max_length", "length", "weights", "part", "timezone", "unit")
"""Keys of features that their examples depend on."""


def data_contract(job: Job) -> Contract:
    """Returns what example sets, checkpoints and exports must agree on: names, kinds,
    types, order and lengths of features; ids, labels and sampling."""
    sampling = job.preprocessing.sampling.model_dump(exclude_none=True)
    sampling["label"] = job.sampled_label
    return {
        "features": {name: _feature(job, name) for name in job.features},
        "ids": job.ids.model_dump(exclude_none=True),
        "labels": {
            name: label.model_dump(exclude_none=True)
            for name, label in job.labels.items()
        },
        "sampling": sampling if job.preprocessing.sampling.active else None,
    }


def model_contract(job: Job) -> Contract:
    """Returns what a checkpoint and a job must agree on to resume training."""
    model = job.model.model_dump()
    for task in model["tasks"].values():
        # What is learned from may change with what is known when.
        del task["observations"]
    return {
        "data": data_contract(job),
        "features": {n: f.model_dump(by_alias=True) for n, f in job.features.items()},
        "model": model,
        "optimizer": {
            "dense": job.training.optimizer.dense.name,
            "embeddings": job.training.optimizer.embeddings.name,
        },
    }


def fingerprint(contract: Contract) -> str:
    """Returns the SHA-256 of a contract, in hexadecimal."""
    # Key order is kept: the order of features is part of the contract.
    text = json.dumps(contract, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def check_same_contract(found: Contract, expected: Contract, *, what: str) -> None:
    """Compares two contracts.

    Raises:
        DataError: if they differ; the message names the entries that do. `what` says
            whose contract `found` is.
    """
    if fingerprint(found) == fingerprint(expected):
        return
    differences = list(_differences(found, expected, ""))
    if not differences:
        differences = ["the features stand in another order"]
    listed = "\n".join(f"  {line}" for line in differences[:20])
    raise DataError(
        f"{what} does not fit the job. Differences:\n{listed}\n"
        "Use the job file that it was made with, or make it again with this one."
    )


def _feature(job: Job, name: str) -> Contract:
    feature = job.features[name]
    if isinstance(feature, SequenceFeature):
        built = {"from": feature.source, "gap": feature.gap} if feature.built else {}
        return {
            "kind": feature.kind,
            "max_length": feature.max_length,
            **built,
            "fields": {
                field: _field(job, f"{name}.{field}", definition)
                for field, definition in feature.fields.items()
            },
        }
    if isinstance(feature, CrossedFeature):
        return {"kind": feature.kind, "of": feature.of}
    column = raw_name(job, name) if feature.kind == "time" else feature.column or name
    values: Contract = {"kind": feature.kind, "column": column}
    if feature.table is not None:
        values["table"] = feature.table
    if isinstance(feature, CategoricalFeature | MultiValuedFeature):
        values["type"] = feature.type
    for limit in _PARTS:
        if getattr(feature, limit, None) is not None:
            values[limit] = getattr(feature, limit)
    return values


def _field(job: Job, name: str, definition: SequenceField) -> Contract:
    sequence, _, field = name.partition(".")
    values: Contract = {
        "kind": definition.kind,
        "column": definition.column or f"{sequence}_{field}",
    }
    if sequence in built_sequences(job):
        source = behaviour_column(job, sequence, field)
        values["row"] = None if source is None else source.row
        values["age"] = age_unit(definition)
    if definition.kind == "categorical":
        values["type"] = categorical_type(job, name)
    return values


def _differences(found: Any, expected: Any, place: str) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in [*expected, *(key for key in found if key not in expected)]:
            inner = f"{place}.{key}" if place else key
            if key not in found:
                yield f"{inner}: absent, the job has {expected[key]}"
            elif key not in expected:
                yield f"{inner}: has {found[key]}, absent from the job"
            else:
                yield from _differences(found[key], expected[key], inner)
    elif found != expected:
        yield f"{place}: has {found!r}, the job has {expected!r}"
