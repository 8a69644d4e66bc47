"""A model trained with auxiliary tasks is exported as the one trained without them."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from configs.job import Job
from configs.loading import parse_job
from serving.export import Exported, export_model
from tests.serving.models import FULL_JOB, statistics_of
from tests.serving.verifying import verify_here
from tests.trainer.model_jobs import random_batch
from trainer.assembly import assemble
from trainer.auxiliary.registry import AUXILIARY
from trainer.checkpoint import State
from trainer.run import Run

STEPS = 2

WEIGHTLESS = ("cl4ctr_alignment", "cl4ctr_uniformity")
"""Tasks without weights of their own."""

SLACK = {
    # These say what the model was trained with, and where.
    "assets.extra/job.yaml": 9.0,
    "assets.extra/export.json": 1.0,
    # Predictions, as text.
    "assets.extra/golden.jsonl": 0.05,
    # Checksums and a random number, of as many bytes as they need.
    "fingerprint.pb": 0.2,
    # Names of functions carry numbers that grow with what a process did before.
    "saved_model.pb": 0.01,
}
"""By how much, of its size, a file may differ; all others have the same size."""


def job_in(folder: Path, *names: str) -> Job:
    """Returns a job whose model has the auxiliary tasks `names`."""
    places = [f"data.{x}={folder}/{x}" for x in ("examples", "run", "models")]
    tasks = ", ".join(f"{{name: {name}}}" for name in names)
    return parse_job(FULL_JOB, [*places, f"model.auxiliary=[{tasks}]"])


def trained(job: Job, steps: int) -> None:
    """Writes a run of so many steps on made-up rows."""
    statistics = statistics_of(job)
    run = Run.create(job, statistics=statistics, vocabularies={})
    batch = random_batch(job, 12)
    spec = {
        key: tf.TensorSpec([None, *value.shape[1:]], value.dtype)
        for key, value in batch.items()
    }
    assembly = assemble(
        job,
        statistics=statistics,
        vocabularies={},
        base_rates={"click": 0.2, "conversion": 0.1},
        element_spec=(spec,),
    )
    for _ in range(steps):
        assembly.step((batch,))
    if steps:
        assert assembly.step.sums()[0] == steps
    state = State(step=steps, model="", examples="", seed=0)
    run.checkpoints.write(state, assembly.variables)


def exported(job: Job, steps: int, monkeypatch: pytest.MonkeyPatch) -> Exported:
    """Trains and exports, verified in this process."""

    trained(job, steps)
    verify_here(monkeypatch)
    return export_model(job, without_golden_rows=True)


def variables(folder: Path) -> dict[str, Any]:
    """Shape and type of each variable, and the bytes of all, as they lie on disk."""
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    types = reader.get_variable_to_dtype_map()
    found: dict[str, Any] = {
        name: (tuple(shape), types[name])
        for name, shape in reader.get_variable_to_shape_map().items()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }
    data = list((folder / "variables").glob("variables.data-*"))
    return found | {"bytes": sum(path.stat().st_size for path in data)}


def ops(folder: Path) -> Counter[tuple[str, str]]:
    """How often each op is in the graph, without the numbers that TensorFlow appends
    to names in the order in which a process makes them."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    found: Counter[tuple[str, str]] = Counter()
    for meta in saved.meta_graphs:
        functions = meta.graph_def.library.function
        nodes = [*meta.graph_def.node, *(n for f in functions for n in f.node_def)]
        found += Counter((re.sub(r"\d+", "#", n.name), n.op) for n in nodes)
    return found


def files(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


def check_equal(without: Exported, others: Exported) -> None:
    """Variables to the byte, ops to the last one, files but for what names the run."""
    assert variables(others.folder) == variables(without.folder)
    assert ops(others.folder) == ops(without.folder)
    sizes, expected = files(others.folder), files(without.folder)
    assert sizes.keys() == expected.keys()
    for name, size in sizes.items():
        slack = SLACK.get(name, 0.0) * expected[name]
        assert abs(size - expected[name]) <= slack, name
    words = str([*variables(others.folder), *ops(others.folder)]).lower()
    for name in ("auxiliary", *AUXILIARY):
        assert name not in words
    counts = others.report["variables"]
    assert counts["export_values"] == without.report["variables"]["export_values"]


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("without")
        return exported(job_in(folder), 0, monkeypatch)


def test_no_task_is_in_the_export(
    without: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them at once."""
    with_all = exported(job_in(tmp_path, *AUXILIARY), 0, monkeypatch)
    counts = with_all.report["variables"]
    assert counts["training_values"] > counts["export_values"] + 1000
    check_equal(without, with_all)


@pytest.mark.slow
@pytest.mark.parametrize("names", [tuple(AUXILIARY), WEIGHTLESS])
def test_tasks_that_were_trained_are_not_in_the_export(
    names: tuple[str, ...],
    without: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After steps in which their optimizers' slots were made too."""
    trained_with = exported(job_in(tmp_path, *names), STEPS, monkeypatch)
    counts = trained_with.report["variables"]
    assert (counts["training"] > counts["export"]) == (names != WEIGHTLESS)
    check_equal(without, trained_with)
