"""Trains the model of a job on a stream: new, behind a batch run, or where it stood."""

import sys
from pathlib import Path

import tensorflow as tf

from configs.errors import JobError
from configs.job import Job
from configs.layout import layout_of
from trainer.assembly import Assembly, assemble
from trainer.base_rates import base_rates
from trainer.checkpoint import State, restore
from trainer.cluster import ALONE
from trainer.devices import prepare_devices
from trainer.interruption import Interruption
from trainer.run import Run
from trainer.run_lock import run_lock
from trainer.scoring import Scorer
from trainer.stream.growth import Growth
from trainer.stream.item_ages import ItemAges
from trainer.stream.loop import StreamLoop
from trainer.stream.options import stream_options
from trainer.stream.progress import StreamProgress
from trainer.stream.reader import WindowReader, element_spec_of
from trainer.stream.scores import WindowScores
from trainer.stream.served import ServedModel
from trainer.stream.sources import source_of
from trainer.stream.start import Beginning, Expected, begin, first_state
from trainer.stream.state import StreamState
from trainer.stream.window_journal import WindowJournal
from trainer.train import Result, check_memory_here, follow_rate

__all__ = ["learn", "train_on_stream"]

WINDOWS_FILE = "windows.jsonl"


def train_on_stream(
    job: Job, *, overwrite: bool = False, until_end: bool = False
) -> Result:
    """Trains on the stream of `job`, and leaves a run in `data.run`. Where there is one
    it goes on with it: with a stream's where that stood, with one of `trainer train`
    behind the last example set that it was trained on.

    Args:
        job: the job.
        overwrite: replace an existing run.
        until_end: end when all that is there is learned, instead of waiting for more.

    Raises:
        PairstreamError: if anything in job, stream or run is wrong.
    """
    if job.training.strategy == "multi_worker":
        raise JobError(
            "training.strategy is 'multi_worker', and a stream is learned by one"
            " process, on all devices of its machine: use 'auto'"
        )
    with Interruption() as interruption, run_lock(job.data.run):
        strategy = prepare_devices(job.training)
        with strategy.scope():
            beginning = begin(
                job, interruption, overwrite=overwrite, wait=not until_end
            )
            if beginning is None:  # no row has come yet, and a signal has
                return Result(
                    run=Path(job.data.run),
                    state=State(model="", examples="", seed=job.training.seed),
                    signal=interruption.signal,
                )
            return _train(job, beginning, interruption, overwrite, until_end)


def _train(
    job: Job,
    beginning: Beginning,
    interruption: Interruption,
    overwrite: bool,
    until_end: bool,
) -> Result:
    """Trains in the scope of the strategy."""
    assembly = _assembled(job, beginning)
    run = beginning.run or Run.create(
        job,
        statistics=beginning.statistics,
        vocabularies=beginning.vocabularies,
        overwrite=overwrite,
    )
    run.checkpoints.sweep()
    state = _restored(job, run, assembly)
    state = learn(job, run, assembly, state, interruption, until_end=until_end)
    return Result(run=run.folder, state=state, signal=interruption.signal)


def learn(
    job: Job,
    run: Run,
    assembly: Assembly,
    state: State,
    interruption: Interruption,
    *,
    until_end: bool,
) -> State:
    """Learns from `state` on; returns the state that the last checkpoint holds.

    Args:
        job: the job.
        run: its run.
        assembly: model, optimizers and step, restored to `state`.
        state: to go on from.
        interruption: watched between windows.
        until_end: end when all that is there is learned.
    """
    stream = state.stream or StreamState()
    for left in run.folder.glob(".*.partial-*"):
        left.unlink()  # half written by a killed process
    ends = WindowJournal(run.folder / WINDOWS_FILE)
    again = ends.after(stream.window, stream.position)
    progress = StreamProgress()
    ages = ItemAges(stream_options(job).item_ages)
    growth = Growth(job, assembly.inference.tables)
    if stream.window:
        ages.restore(run.checkpoints.path(state.step))
        growth.restore(run.checkpoints.path(state.step))
    with source_of(job, run.folder, until_end=until_end) as source:
        source.open(stream.position)
        run.replace_job(job)
        ends.keep([*ends.before(stream.window), *again])
        if not run.checkpoints.steps():
            # Statistics and rates are of what was there now: a crash must not ask for
            # them again.
            run.checkpoints.write(state, assembly.variables)
        if stream.window or again:
            print(
                f"going on behind window {stream.window:,}, step {state.step:,},"
                f" {stream.rows:,} rows; {len(again)} window(s) to learn again",
                file=sys.stderr,
            )
        with WindowReader(
            source,
            layout_of(job),
            batch_size=job.training.batch_size,
            shares=_devices(),
            window=stream.window,
            again=again,
        ) as reader:
            loop = StreamLoop(
                job,
                run,
                assembly,
                state=state,
                reader=reader,
                scores=_scores(job, run, assembly, ages, progress),
                ages=ages,
                growth=growth,
                ends=ends,
                progress=progress,
                interruption=interruption,
            )
            return loop.run()


def _assembled(job: Job, beginning: Beginning) -> Assembly:
    layout = layout_of(job)
    expected = Expected(
        rows=stream_options(job).window_rows, split=beginning.split, layout=layout
    )
    check_memory_here(job, ALONE, expected, beginning.vocabularies, served=True)
    new = beginning.split.rows > 0
    return assemble(
        job,
        statistics=beginning.statistics,
        vocabularies=beginning.vocabularies,
        base_rates=base_rates(job, beginning.split) if new else {},
        element_spec=element_spec_of(layout, _devices()),
    )


def _restored(job: Job, run: Run, assembly: Assembly) -> State:
    """Returns the state to go on from, its variables restored."""
    topic = None if job.stream is None else job.stream.examples_topic
    state, folder = first_state(job, run, topic)
    rate = job.training.optimizer.dense.learning_rate
    if folder is not None:
        restore(folder, assembly.variables)
        follow_rate(assembly, state, rate)
    return state.model_copy(update={"seed": job.training.seed, "learning_rate": rate})


def _scores(
    job: Job, run: Run, assembly: Assembly, ages: ItemAges, progress: StreamProgress
) -> WindowScores:
    spec = element_spec_of(layout_of(job), _devices())
    return WindowScores(
        job,
        Scorer(assembly.inference, spec),
        ServedModel(job, run, spec, progress.write),
        ages,
    )


def _devices() -> int:
    return int(tf.distribute.get_strategy().num_replicas_in_sync)
