"""Writes everything that a version of a model holds."""

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from configs.contract import data_contract
from configs.job import Job
from configs.loading import dump_job
from serving.export_golden import golden_arrays
from serving.export_signature import save_model
from serving.golden import write_golden
from serving.specification import EXTRA, SPECIFICATION_FILE, Specification
from serving.warmup import write_warmup

__all__ = ["CONTRACT_FILE", "JOB_FILE", "write_version"]

JOB_FILE = f"{EXTRA}/job.yaml"
CONTRACT_FILE = f"{EXTRA}/contract.json"


def write_version(
    folder: Path,
    *,
    job: Job,
    model: Any,
    specification: Specification,
    rows: list[dict[str, Any]],
    warmup_rows: int,
) -> int:
    """Writes the SavedModel, and beside it what servers and readers need.

    Args:
        folder: an existing, empty folder.
        job: that the model was trained with.
        model: the `InferenceModel`, its weights restored.
        specification: of requests.
        rows: raw golden rows; without any, the row of which nothing is known is one.
        warmup_rows: requests for TensorFlow Serving to warm up with, at most.

    Returns:
        The number of warm-up requests written.

    Raises:
        DataError: if a golden row does not fit the specification.
        ExportError: if the model cannot be saved.
    """
    scored = rows or [specification.missing_row()]
    arrays = golden_arrays(specification, scored)
    function = save_model(folder, job, model, specification)
    (folder / EXTRA).mkdir()
    text = specification.model_dump_json(indent=1, exclude_none=True)
    (folder / SPECIFICATION_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / JOB_FILE).write_text(dump_job(job), encoding="utf-8")
    contract = json.dumps(data_contract(job), indent=1)
    (folder / CONTRACT_FILE).write_text(contract + "\n", encoding="utf-8")
    outputs = function({name: tf.constant(values) for name, values in arrays.items()})
    predictions = {t: outputs[t].numpy().tolist() for t in specification.outputs}
    names = specification.column_names()
    raw = [{name: row[name] for name in names} for row in scored]
    write_golden(folder, raw, predictions)
    return write_warmup(folder, specification.name, arrays, warmup_rows)
