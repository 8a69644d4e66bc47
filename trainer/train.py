"""Trains the model of a job, from the start or from the last checkpoint."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from configs.contract import fingerprint, model_contract
from configs.errors import CheckpointError, DataError, TrainingError
from configs.job import Job
from configs.manifest import Statistics
from trainer.agreement import Agreement
from trainer.assembly import Assembly, assemble
from trainer.base_rates import base_rates, rows_of_task
from trainer.checkpoint import State, read_state, restore
from trainer.cluster import ALONE, Cluster, cluster_from
from trainer.devices import prepare_devices
from trainer.inputs.adjacency import check_adjacent
from trainer.inputs.diagnosis import plain_message
from trainer.inputs.example_set import read_all_statistics
from trainer.inputs.files import ExampleFiles
from trainer.interruption import Interruption
from trainer.loop import TrainingLoop
from trainer.memory import (
    Source,
    check_memory,
    free_on_gpus,
    free_on_host,
    memory_of,
)
from trainer.profile import Profile
from trainer.run import TENSORBOARD_FOLDER, Run
from trainer.run_lock import run_lock
from trainer.selection import check_selection
from trainer.vocabularies import Vocabularies, make_vocabularies

__all__ = ["Result", "check_memory_here", "follow_rate", "train"]

_GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
"""What TensorFlow raises where another worker is gone."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How training ended.

    Attributes:
        run: folder of the run.
        state: of its last checkpoint; `state.validation` has the last metrics.
        signal: that interrupted it, or None.
        reports: whether this process is the one that tells of it: of several workers,
            the chief.
    """

    run: Path
    state: State
    signal: int | None = None
    reports: bool = True


def train(
    job: Job,
    *,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    profile: tuple[int, int] | None = None,
) -> Result:
    """Trains the model of `job` and leaves a run in `data.run`.

    Args:
        job: the job.
        resume: go on from the last checkpoint of the run; start if there is no run.
        overwrite: replace an existing run.
        callbacks: Keras callbacks; their own state is in no checkpoint.
        profile: first and last step to profile, counted from where this begins.

    Raises:
        PairstreamError: if anything in job, examples or run is wrong.
    """
    several = job.training.strategy == "multi_worker"
    cluster = cluster_from() if several else ALONE
    if profile is not None:
        folder = Path(job.data.run) / TENSORBOARD_FOLDER
        callbacks = [
            *callbacks,
            Profile(folder if cluster.is_chief else None, *profile),
        ]
    with run_lock(job.data.run) if cluster.is_chief else nullcontext():
        _check_target(job, resume=resume, overwrite=overwrite)
        check_selection(job)
        strategy = prepare_devices(job.training, cluster)
        try:
            with strategy.scope():
                return _train(
                    job,
                    cluster,
                    resume=resume,
                    overwrite=overwrite,
                    callbacks=callbacks,
                )
        except _GONE as error:
            if not several:
                raise
            raise TrainingError(
                f"worker {cluster.index} of {cluster.workers} has lost the others:"
                f" {plain_message(error)}. Their output says what ended them; start all"
                " workers again with --resume"
            ) from error


def _train(
    job: Job,
    cluster: Cluster,
    *,
    resume: bool,
    overwrite: bool,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Result:
    """Trains in the scope of the strategy."""
    devices = tf.distribute.get_strategy().num_replicas_in_sync
    training, validation = _sources(job, devices, cluster)
    _check_labels(job, training)
    run, statistics, vocabularies = _made_before(job, resume=resume)
    check_memory_here(job, cluster, training, vocabularies)
    assembly = assemble(
        job,
        statistics=statistics,
        vocabularies=vocabularies,
        base_rates=base_rates(job, training.split),
        element_spec=training.element_spec,
    )

    def create() -> Run:
        # Not before: a model that cannot be built must not cost an older run.
        made = run or Run.create(
            job, statistics=statistics, vocabularies=vocabularies, overwrite=overwrite
        )
        made.checkpoints.sweep()
        made.replace_job(job)
        return made

    agreement = Agreement(cluster)
    run = _opened(job, cluster, agreement, create)
    state = _restore(job, run, assembly, training)
    if state.step and cluster.is_chief:
        print(
            f"going on from step {state.step:,}: epoch {state.epoch + 1},"
            f" row {state.row:,}",
            file=sys.stderr,
        )
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
            cluster=cluster,
        )
        state = loop.run()
        agreement.meet()  # nobody leaves before the chief has written
    return Result(
        run=run.folder, state=state, signal=loop.signal, reports=cluster.is_chief
    )


def _opened(
    job: Job, cluster: Cluster, agreement: Agreement, create: Callable[[], Run]
) -> Run:
    """Lets the chief make the run; returns it when all workers can see it."""
    run: Run | None = None
    last: float | None = None
    try:
        if cluster.is_chief:
            run = create()
            last = float(max(run.checkpoints.steps(), default=0))
    finally:
        (last,) = agreement.as_the_chief([last])  # None, if the chief has failed
    if last is None:
        raise TrainingError(
            "worker 0, the chief, could not begin: its own output says why"
        )
    run = run or _shared(job)
    if max(run.checkpoints.steps(), default=0) != int(last):
        raise CheckpointError(
            f"{job.data.run}: the chief goes on from step {int(last)}, and worker"
            f" {cluster.index} sees the checkpoints {run.checkpoints.steps()}. data.run"
            " must lie on a file system that all workers share"
        )
    return run


def _shared(job: Job) -> Run:
    try:
        return Run(job.data.run, keep=job.training.keep_checkpoints)
    except CheckpointError as error:
        raise CheckpointError(
            f"{job.data.run}, which the chief made, cannot be seen by this worker:"
            " data.run must lie on a file system that all workers share"
        ) from error


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


def _sources(
    job: Job, devices: int, cluster: Cluster
) -> tuple[ExampleFiles, ExampleFiles | None]:
    training = ExampleFiles(
        job.data.examples,
        "train",
        job,
        batch_size=job.training.batch_size,
        shares=devices,
        workers=cluster.workers,
        worker=cluster.index,
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
        workers=cluster.workers,
        worker=cluster.index,
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


def check_memory_here(
    job: Job,
    cluster: Cluster,
    training: Source,
    vocabularies: Vocabularies,
    *,
    served: bool = False,
) -> None:
    """Estimates what training takes, and tells of it.

    Args:
        job: the job.
        cluster: the workers.
        training: source of the training rows.
        vocabularies: by table.
        served: whether the served version is scored beside.

    Raises:
        TrainingError: if it does not fit.
    """
    devices = tf.distribute.get_strategy().num_replicas_in_sync
    gpus = len(tf.config.list_logical_devices("GPU"))
    memory = memory_of(job, vocabularies, training, devices)
    line = check_memory(
        replace(memory, served=memory.tables) if served else memory,
        copies=devices // cluster.workers,
        host=free_on_host(),
        gpus=free_on_gpus(gpus),
    )
    if cluster.is_chief:
        print(line, file=sys.stderr)


def _made_before(
    job: Job, *, resume: bool
) -> tuple[Run | None, Statistics, Vocabularies]:
    """Returns the run to go on with, if any, and what the model is built with."""
    if resume and Path(job.data.run).exists():
        run = Run(job.data.run, keep=job.training.keep_checkpoints)
        run.check_model(job)
        return run, run.statistics(), run.vocabularies()
    statistics = read_all_statistics(job.data.examples, job.data.days)
    return None, statistics, make_vocabularies(job, job.data.examples)


def _restore(job: Job, run: Run, assembly: Assembly, training: ExampleFiles) -> State:
    """Returns the state of the last checkpoint, restored, or that of a start."""
    model = fingerprint(model_contract(job))
    rate = job.training.optimizer.dense.learning_rate
    changes: dict[str, Any] = {
        "seed": job.training.seed,
        "examples": training.digest,
        "last_set": training.last_set,
        "order": training.order,
        "learning_rate": rate,
    }
    if not run.checkpoints.steps():
        return State(model=model, **changes)
    folder = run.checkpoints.find("last")
    state = read_state(folder)
    if state.stream is not None:
        raise CheckpointError(
            f"{run.folder} is the run of a stream: go on with"
            " `python -m trainer stream`, or name another folder in data.run"
        )
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
    follow_rate(assembly, state, rate)
    return state.model_copy(update=changes)


def follow_rate(assembly: Assembly, state: State, rate: float) -> None:
    """Sets the learning rate of the job where it is another than that of `state`."""
    if state.learning_rate not in (None, rate):
        # The factor that callbacks have brought the old rate to holds for the new one.
        factor = assembly.dense.learning_rate.numpy() / state.learning_rate
        assembly.dense.learning_rate = rate * factor


def _other_order(state: State, job: Job, training: ExampleFiles) -> str | None:
    """Returns what makes a row of `state` another row now, if anything does."""
    if state.examples != training.digest:
        return "example set"
    if state.seed != job.training.seed:
        return "training.seed"
    if state.order not in (None, training.order):
        return f"order of rows ({training.order}, it was {state.order})"
    return None
