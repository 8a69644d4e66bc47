"""Trains the model of a job, from the start or from the last checkpoint."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from configs.contract import fingerprint, model_contract
from configs.errors import CheckpointError, DataError
from configs.job import Job
from configs.manifest import STATISTICS_FILE, Statistics, read_statistics
from trainer.assembly import Assembly, assemble
from trainer.base_rates import base_rates, rows_of_task
from trainer.checkpoint import State, read_state, restore
from trainer.devices import prepare_devices
from trainer.inputs.adjacency import check_adjacent
from trainer.inputs.files import ExampleFiles
from trainer.inputs.filesystems import is_remote, join, read_text
from trainer.interruption import Interruption
from trainer.loop import TrainingLoop
from trainer.memory import memory_estimate
from trainer.run import Run
from trainer.selection import check_selection
from trainer.vocabularies import Vocabularies, make_vocabularies

__all__ = ["Result", "train"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """How training ended.

    Attributes:
        run: folder of the run.
        state: of its last checkpoint; `state.validation` has the last metrics.
        signal: that interrupted it, or None.
    """

    run: Path
    state: State
    signal: int | None = None


def train(
    job: Job,
    *,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Result:
    """Trains the model of `job` and leaves a run in `data.run`.

    Args:
        job: the job.
        resume: go on from the last checkpoint of the run; start if there is no run.
        overwrite: replace an existing run.
        callbacks: Keras callbacks; their own state is in no checkpoint.

    Raises:
        PairstreamError: if anything in job, examples or run is wrong.
    """
    _check_target(job, resume=resume, overwrite=overwrite)
    check_selection(job)
    strategy = prepare_devices(job.training)
    devices = strategy.num_replicas_in_sync
    training, validation = _sources(job, devices)
    _check_labels(job, training)
    run, statistics, vocabularies = _made_before(job, resume=resume)
    with strategy.scope():
        assembly = assemble(
            job,
            statistics=statistics,
            vocabularies=vocabularies,
            base_rates=base_rates(job, training.split),
            element_spec=training.element_spec,
        )
        print(memory_estimate(assembly, devices), file=sys.stderr)
        # Not before: a model that cannot be built must not cost an older run.
        run = run or Run.create(
            job, statistics=statistics, vocabularies=vocabularies, overwrite=overwrite
        )
        run.checkpoints.sweep()
        state = _restore(job, run, assembly, training)
        run.replace_job(job)
        with Interruption() as interruption:
            loop = TrainingLoop(
                job,
                run,
                assembly,
                training=training,
                validation=validation,
                state=state,
                callbacks=callbacks,
                interruption=interruption,
            )
            state = loop.run()
    return Result(run=run.folder, state=state, signal=interruption.signal)


def _check_target(job: Job, *, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise CheckpointError(
            "--resume goes on with a run and --overwrite removes it: give one of them"
        )
    if Path(job.data.run).exists() and not resume and not overwrite:
        raise CheckpointError(
            f"{job.data.run} exists already: say --resume to go on with that run,"
            " --overwrite to replace it, or name another folder in data.run"
        )


def _sources(job: Job, devices: int) -> tuple[ExampleFiles, ExampleFiles | None]:
    training = ExampleFiles(
        job.data.examples,
        "train",
        job,
        batch_size=job.training.batch_size,
        shares=devices,
        seed=job.training.seed,
        block=job.training.shuffle_block,
    )
    check_adjacent(training.manifest, job, folder=job.data.examples)
    validation = training.manifest.splits.get("validation")
    if validation is None or not validation.rows:
        print(
            "warning: the example set has no validation rows: nothing is evaluated"
            " while training, and the last checkpoint counts as the best",
            file=sys.stderr,
        )
        return training, None
    return training, ExampleFiles(
        job.data.examples,
        "validation",
        job,
        batch_size=job.training.batch_size,
        shares=devices,
    )


def _check_labels(job: Job, training: ExampleFiles) -> None:
    for task in job.model.tasks:
        positives = training.split.positives[task]
        if positives in (0, rows_of_task(job, training.split, task)):
            raise DataError(
                f"{training.folder}: the label {task!r} is {1 if positives else 0} in"
                f" all training rows that count ({positives:,} positives of"
                f" {training.rows:,} rows); expected some of both kinds, because"
                " nothing can be learned from one. Look at the join's counters in"
                " manifest.json, and at the label's window, log and split in the job"
                " file"
            )


def _made_before(
    job: Job, *, resume: bool
) -> tuple[Run | None, Statistics, Vocabularies]:
    """Returns the run to go on with, if any, and what the model is built with."""
    if resume and Path(job.data.run).exists():
        run = Run(job.data.run, keep=job.training.keep_checkpoints)
        run.check_model(job)
        return run, run.statistics(), run.vocabularies()
    statistics = _statistics(job.data.examples)
    return None, statistics, make_vocabularies(job, job.data.examples)


def _statistics(folder: str) -> Statistics:
    if not is_remote(folder):
        return read_statistics(folder)
    text = read_text(join(folder, STATISTICS_FILE))
    if text is None:
        raise DataError(f"{folder} has no {STATISTICS_FILE}: run preprocessing again")
    return Statistics.model_validate_json(text)


def _restore(job: Job, run: Run, assembly: Assembly, training: ExampleFiles) -> State:
    """Returns the state of the last checkpoint, restored, or that of a start."""
    model = fingerprint(model_contract(job))
    rate = job.training.optimizer.dense.learning_rate
    changes: dict[str, Any] = {
        "seed": job.training.seed,
        "examples": training.digest,
        "order": training.order,
        "learning_rate": rate,
    }
    if not run.checkpoints.steps():
        return State(model=model, **changes)
    folder = run.checkpoints.find("last")
    state = read_state(folder)
    what = _other_order(state, job, training)
    if state.row and what is not None:
        raise CheckpointError(
            f"{folder} stands at row {state.row} of epoch {state.epoch + 1}, and the"
            f" {what} is another since, so that row is another too. Go on with the old"
            " one, or start again with --overwrite"
        )
    restore(folder, assembly.variables)
    if state.best is not None and state.best.step not in run.checkpoints.steps():
        changes["best"] = None  # a later one took its place, and is gone since
    if state.learning_rate not in (None, rate):
        # The factor that callbacks have brought the old rate to holds for the new one.
        factor = assembly.dense.learning_rate.numpy() / state.learning_rate
        assembly.dense.learning_rate = rate * factor
    print(
        f"going on from step {state.step:,}: epoch {state.epoch + 1},"
        f" row {state.row:,}",
        file=sys.stderr,
    )
    return state.model_copy(update=changes)


def _other_order(state: State, job: Job, training: ExampleFiles) -> str | None:
    """Returns what makes a row of `state` another row now, if anything does."""
    if state.examples != training.digest:
        return "example set"
    if state.seed != job.training.seed:
        return "training.seed"
    if state.order not in (None, training.order):
        return f"order of rows ({training.order}, it was {state.order})"
    return None
