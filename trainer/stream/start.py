"""What a streaming training begins with: a new model, a batch run, or its own past."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.contract import fingerprint, model_contract
from configs.errors import DataError
from configs.job import Job
from configs.layout import ExampleLayout
from configs.manifest import MANIFEST_FILE, ExampleSplit, Statistics
from trainer.checkpoint import State, read_state
from trainer.inputs.example_set import (
    check_fits,
    open_manifest,
    read_all_statistics,
    set_folders,
)
from trainer.inputs.filesystems import file_size, is_remote, join
from trainer.interruption import Interruption
from trainer.run import Run
from trainer.stream.options import stream_options
from trainer.stream.sets import SPLIT
from trainer.stream.state import StreamState
from trainer.stream.warm_start import position_behind
from trainer.vocabularies import Vocabularies, make_vocabularies

__all__ = ["Beginning", "Expected", "begin", "first_state"]

_LOOK_SECONDS = 0.5

_TELL_SECONDS = 15.0

_NO_ROWS = ExampleSplit(
    rows=0, positives={}, first_time=None, last_time=None, sampled=False, shards=[]
)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of the rows that will come, for the estimate of memory.

    Attributes:
        rows: of a window.
        split: files that tell how long an example is; empty if there are none.
        layout: of the examples.
    """

    rows: int
    split: ExampleSplit
    layout: ExampleLayout


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What the model is built with.

    Attributes:
        run: that is gone on with; None if it is to be made.
        statistics: of numeric inputs.
        vocabularies: by table.
        split: training rows that a new model's heads start at the rates of; empty
            where a checkpoint will be restored.
    """

    run: Run | None
    statistics: Statistics
    vocabularies: Vocabularies
    split: ExampleSplit


def begin(
    job: Job, interruption: Interruption, *, overwrite: bool, wait: bool
) -> Beginning | None:
    """Returns what to build the model with; waits for the first example set where it
    has to. Returns None if a signal comes meanwhile.

    Args:
        job: the job.
        interruption: watched while waiting.
        overwrite: do not go on with the run that there is.
        wait: whether sets may still come.

    Raises:
        PairstreamError: if run or example sets do not fit the job, or there are none.
    """
    run = None
    if Path(job.data.run).exists() and not overwrite:
        run = Run(job.data.run, keep=job.training.keep_checkpoints)
        run.check_model(job)
        if run.checkpoints.steps():
            return _made_before(run, _NO_ROWS)
    folder = stream_options(job).starts_with or job.data.examples
    split = _wait_for_rows(job, folder, interruption, wait=wait)
    if split is None:
        return None
    if run is not None:  # killed before its first checkpoint: nothing is learned yet
        return _made_before(run, split)
    days = job.data.days if folder == job.data.examples else None
    return Beginning(
        run=None,
        statistics=read_all_statistics(folder, days),
        vocabularies=make_vocabularies(job, folder),
        split=split,
    )


def _made_before(run: Run, split: ExampleSplit) -> Beginning:
    return Beginning(
        run=run,
        statistics=run.statistics(),
        vocabularies=run.vocabularies(),
        split=split,
    )


def first_state(job: Job, run: Run, topic: str | None) -> tuple[State, Path | None]:
    """Returns the state to go on from, and the checkpoint with its variables, if any.

    Args:
        job: the job.
        run: its run.
        topic: of Kafka that the stream is read from; None for the folder.

    Raises:
        PairstreamError: if no stream can go on from the run's last checkpoint.
    """
    model = fingerprint(model_contract(job))
    rate = job.training.optimizer.dense.learning_rate
    if not run.checkpoints.steps():
        state = State(
            model=model,
            examples="",
            seed=job.training.seed,
            learning_rate=rate,
            stream=StreamState(),
        )
        return state, None
    folder = run.checkpoints.find("last")
    state = read_state(folder)
    if state.stream is not None:
        return state, folder
    position = position_behind(job, state, topic)
    # The last one counts from now on: no evaluation picks one on a stream.
    changes: dict[str, Any] = {
        "stream": StreamState(position=position),
        "best": None,
        "loss_sums": [],
        "epoch_loss_sums": [],
    }
    where = f"behind {position}" if position else "at its beginning"
    print(
        f"going on with the run {run.folder} after step {state.step:,}: the stream"
        f" begins {where}",
        file=sys.stderr,
    )
    return state.model_copy(update=changes), folder


def _wait_for_rows(
    job: Job, folder: str, interruption: Interruption, *, wait: bool
) -> ExampleSplit | None:
    told = -_TELL_SECONDS
    while interruption.signal is None:
        split = _training_rows(job, folder)
        if split is not None:
            return split
        if not wait or stream_options(job).starts_with is not None:
            raise DataError(
                f"{folder} has no example set with training rows, and a new model needs"
                " one for its statistics and vocabularies: run preprocessing first, or"
                " name another in stream.train.starts_with"
            )
        if time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            print(f"waiting for the first example set in {folder}", file=sys.stderr)
        time.sleep(_LOOK_SECONDS)
    return None


def _training_rows(job: Job, folder: str) -> ExampleSplit | None:
    days = job.data.days if folder == job.data.examples else None
    if set_folders(folder) == [folder] and not _is_set(folder):
        return None  # not there yet
    manifest = open_manifest(folder, days)
    check_fits(manifest, job, folder=folder)
    split = manifest.splits.get(SPLIT)
    return split if split is not None and split.rows else None


def _is_set(folder: str) -> bool:
    path = join(folder, MANIFEST_FILE)
    return file_size(path) is not None if is_remote(path) else Path(path).is_file()
