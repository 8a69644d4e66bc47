"""What auxiliary tasks draw is drawn again by a run that is resumed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorflow.python.framework import config as tensorflow_config

from configs.manifest import read_statistics
from tests.trainer.example_sets import small_example_set, small_job
from tests.trainer.test_resume import differing, everything
from trainer.assembly import assemble
from trainer.checkpoint import State, read_state, restore
from trainer.devices import prepare_devices
from trainer.inputs.files import ExampleFiles
from trainer.interruption import Interruption
from trainer.loop import TrainingLoop
from trainer.run import Run
from trainer.vocabularies import make_vocabularies

TASKS = (
    "{name: dmr, target_buckets: 9, negatives: 4}",
    "{name: deepmcp_correlation, hidden: [4]}",
    "{name: cl4ctr_contrastive, layers: 1, feed_forward: 6}",
)


@pytest.fixture
def deterministic() -> Iterator[None]:
    yield
    tensorflow_config.disable_op_determinism()


@pytest.mark.slow
@pytest.mark.usefixtures("deterministic")
def test_a_resumed_run_draws_the_same(tmp_path: Path) -> None:
    """And trains the same weights, those of the task's own table and slots as well."""
    job = small_job(
        tmp_path,
        "training.batch_size=64",
        "training.epochs=1",
        "training.checkpoint_every=1",
        "training.keep_checkpoints=99",
        f"model.auxiliary=[{', '.join(TASKS)}]",
    )
    small_example_set(job)
    prepare_devices(job.training)
    source = ExampleFiles(
        job.data.examples, "train", job, batch_size=64, seed=3, block=64
    )
    statistics = read_statistics(job.data.examples)
    vocabularies = make_vocabularies(job, job.data.examples)
    run = Run.create(job, statistics=statistics, vocabularies=vocabularies)
    assembly = assemble(
        job,
        statistics=statistics,
        vocabularies=vocabularies,
        base_rates={"click": 0.25},
        element_spec=source.element_spec,
    )
    for name in ("dmr", "deepmcp_correlation", "cl4ctr_contrastive"):
        assert any(f"auxiliary/{name}/draws" in x for x in assembly.variables), name
    table = "training/auxiliary/dmr/targets"
    assert table in assembly.variables
    assert any(x != table and x.endswith(table) for x in assembly.variables)

    def train_from(state: State) -> int:
        loop = TrainingLoop(
            job,
            run,
            assembly,
            training=source,
            validation=None,
            state=state,
            callbacks=[],
            interruption=Interruption(),
        )
        return loop.run().step

    start = State(model="m", examples=source.digest, seed=3)
    run.checkpoints.write(start, assembly.variables)
    steps = train_from(start)
    assert steps >= 3
    whole = everything(run.checkpoints.path(steps))
    for step in (1, 2):
        for later in range(step + 1, steps + 1):
            shutil.rmtree(run.checkpoints.path(later))
        restore(run.checkpoints.path(step), assembly.variables)
        assert train_from(read_state(run.checkpoints.path(step))) == steps
        assert not differing(whole, everything(run.checkpoints.path(steps)))
