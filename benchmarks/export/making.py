"""Trains a few steps on random rows, exports, and makes requests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from configs.job import Job
from configs.layout import FINGERPRINT_RANGE, layout_of
from configs.loading import load_job
from configs.manifest import Statistics
from serving.export import export_model
from serving.specification import Specification
from serving.values import Arrays, columns_of_rows, pack_columns
from trainer.assembly import assemble
from trainer.auxiliary.registry import AUXILIARY
from trainer.checkpoint import State
from trainer.run import Run
from trainer.variables import one_row

__all__ = ["NAMES", "export", "requests", "sizes"]

FILE = Path(__file__).with_name("job.yaml")
NAMES = tuple(AUXILIARY)
STEPS = 3
ROWS = 256


def export(folder: Path, names: tuple[str, ...]) -> None:
    """Exports a model that was trained with the auxiliary tasks `names`, as version 1,
    verified and published as any other."""
    tasks = ", ".join(f"{{name: {name}}}" for name in names)
    places = [f"data.{x}={folder / x}" for x in ("examples", "run", "models")]
    job = load_job(FILE, [*places, f"model.auxiliary=[{tasks}]"])
    statistics = Statistics(numeric={})
    run = Run.create(job, statistics=statistics, vocabularies={})
    batch = _batch(job)
    spec = {
        key: tf.TensorSpec([None, *value.shape[1:]], value.dtype)
        for key, value in batch.items()
    }
    assembly = assemble(
        job,
        statistics=statistics,
        vocabularies={},
        base_rates={"click": 0.1},
        element_spec=(spec,),
    )
    for _ in range(STEPS):
        assembly.step((batch,))
    state = State(step=STEPS, model="", examples="", seed=0)
    run.checkpoints.write(state, assembly.variables)
    export_model(job, without_golden_rows=True)


def sizes(folder: Path) -> dict[str, int]:
    """Returns the number of variables and ops of a version, and its files' bytes."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    ops = len(graph.node) + sum(len(f.node_def) for f in graph.library.function)
    weights = tf.train.list_variables(str(folder / "variables" / "variables"))
    files = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {"variables (number)": len(weights), "ops (number)": ops, **files}


def requests(specification: Specification, rows: int) -> Arrays:
    """Returns random rows as a server hands them to the model."""
    random = np.random.default_rng(rows)

    def text() -> str:
        return f"v{random.integers(50_000)}"

    made: list[dict[str, Any]] = []
    for _ in range(rows):
        row: dict[str, Any] = {}
        for column in specification.columns:
            if column.is_list:
                row[column.name] = [text() for _ in range(column.length or 1)]
            else:
                number = column.type == "number"
                row[column.name] = float(random.random()) if number else text()
        made.append(row)
    columns, problems = columns_of_rows(specification, made, allow_extra=False)
    arrays, more = pack_columns(specification, columns)
    if problems or more:
        raise SystemExit(f"made-up rows do not fit: {json.dumps(str(problems + more))}")
    return arrays


def _batch(job: Job) -> dict[str, tf.Tensor]:
    """Returns random encoded rows; every third is clicked."""
    random = np.random.default_rng(1)
    batch: dict[str, tf.Tensor] = {}
    for key, value in one_row(layout_of(job)).items():
        shape = (ROWS, *value.shape[1:])
        if value.dtype.is_floating:
            batch[key] = tf.ones(shape)
        else:
            numbers = random.integers(0, FINGERPRINT_RANGE, shape, dtype=np.int64)
            batch[key] = tf.constant(numbers)
    clicks = np.arange(ROWS)[:, np.newaxis] % 3 == 0
    return batch | {"labels": tf.constant(clicks, tf.float32)}
