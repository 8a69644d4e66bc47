"""The loop over windows: test, then train, and a checkpoint every so many of them.

    read window ──▶ its end is noted ──▶ scored ──▶ learned ──▶ line of metrics
                                                       every N windows: checkpoint

A checkpoint stands between two windows. It holds all that decides about later ones, so
a loop that starts from it does what the one that was killed would have done.
"""

import time
from collections.abc import Mapping
from typing import Any

from configs.job import Job
from trainer.assembly import Assembly
from trainer.checkpoint import State
from trainer.inputs.stream_source import SourceStatus
from trainer.interruption import Interruption
from trainer.journal import Journal
from trainer.metrics.likelihood import Likelihood
from trainer.run import Run
from trainer.skipped_steps import SkippedSteps
from trainer.step import train_on
from trainer.stream.growth import Growth
from trainer.stream.item_ages import ItemAges
from trainer.stream.options import stream_options
from trainer.stream.progress import StreamProgress
from trainer.stream.reader import Window, WindowReader
from trainer.stream.scores import WindowScores, added, progressive_metrics
from trainer.stream.state import StreamState
from trainer.stream.window_journal import WindowJournal

__all__ = ["StreamLoop"]

_PLOTTED = (
    "losses",
    "vocabularies",
    "lag_rows",
    "freshness_s",
    "rows_per_second",
    "skipped_steps",
)

_CURVES = ("auc", "gauc", "log_loss", "calibration", "observed_rate")

_TELL_SECONDS = 60.0
"""Between two lines of metrics where no window comes."""

_WAIT_SECONDS = 0.2
"""A signal is obeyed so soon where no window is ready."""


class StreamLoop:
    """Learns from the windows of a reader, until it ends or a signal comes.

    Args:
        job: the job.
        run: its folder.
        assembly: model, optimizers and step, restored to `state`.
        state: to go on from, with a state of the stream.
        reader: of the windows behind it, running.
        scores: of windows.
        ages: of items, which checkpoints hold too.
        growth: of vocabularies, likewise.
        ends: journal of the ends of windows.
        progress: tells the user.
        interruption: watched between windows.
    """

    def __init__(
        self,
        job: Job,
        run: Run,
        assembly: Assembly,
        *,
        state: State,
        reader: WindowReader,
        scores: WindowScores,
        ages: ItemAges,
        growth: Growth,
        ends: WindowJournal,
        progress: StreamProgress,
        interruption: Interruption,
    ) -> None:
        self.state = state
        self._job = job
        self._run = run
        self._assembly = assembly
        self._reader = reader
        self._scores = scores
        self._ages = ages
        self._growth = growth
        self._ends = ends
        self._progress = progress
        self._interruption = interruption
        self._every = stream_options(job).checkpoint_windows
        self._written = self._stream.window
        self._skipped_steps = SkippedSteps(
            assembly.step,
            limit=job.training.max_bad_steps,
            checkpoints=run.checkpoints.folder,
            warn=progress.write,
        )
        self._learned = self._told = time.monotonic()
        self._journal = Journal(run.metrics_file, run.tensorboard, step=state.step)

    @property
    def _stream(self) -> StreamState:
        return self.state.stream or StreamState()

    def run(self) -> State:
        """Learns, and returns the state at the end; a checkpoint holds it."""
        try:
            while self._interruption.signal is None:
                try:
                    window = self._reader.next(_WAIT_SECONDS)
                except StopIteration:
                    break
                except Exception:
                    self._save()  # what was learned is good, whatever the source says
                    raise
                if window is None:
                    self._wait()
                    continue
                self._learn(window)
                if self._stream.window % self._every == 0:
                    self._checkpoint()
        finally:
            self._progress.close()
            self._journal.close()
        self._save()
        return self.state

    def _wait(self) -> None:
        """Tells, now and then, that nothing is there to be learned."""
        self._progress.waiting(self._reader.status)
        if time.monotonic() - self._told < _TELL_SECONDS:
            return
        self._told = time.monotonic()
        values = {
            "waited_s": self._told - self._learned,
            **_distance(self._reader.status, self._stream.last_time),
        }
        self._journal.write(
            "waiting", step=self.state.step, epoch=self.state.epoch, values=values
        )

    def _save(self) -> None:
        """Writes a checkpoint, unless the last one is of this window."""
        if self._written != self._stream.window:
            self._checkpoint()

    def _learn(self, window: Window) -> None:
        began = time.monotonic()
        if not window.again:
            self._ends.append(window.end)
        before = self.state.step
        scores, sums = self._scores.of(window.batches)
        losses = self._train(window)
        vocabularies = self._growth.learn(window.batches)
        stream = _behind(self._stream, window, scores["tasks"], sums)
        step = before + len(window.batches)
        self.state = self.state.model_copy(update={"step": step, "stream": stream})
        self._skipped_steps.check(step)
        values = {
            "step": step,
            "window": window.end.window,
            "scored_step": before,
            "rows": window.end.rows,
            "first_time": window.first_time,
            "last_time": window.last_time,
            "position": window.end.position,
            **scores,
            "progressive": progressive_metrics(stream.progressive),
            "losses": losses,
            "vocabularies": vocabularies,
            "counters": stream.counters,
            "waited_s": began - self._learned,
            **self._timing(window, time.monotonic() - began),
        }
        self._journal.write(
            "window",
            step=step,
            epoch=self.state.epoch,
            values=values,
            plotted=_plotted(values),
        )
        self._progress.learned(values)
        self._learned = self._told = time.monotonic()

    def _train(self, window: Window) -> dict[str, float]:
        """Makes the steps of a window; returns its mean losses."""
        step, at_once = self._assembly.step, self._job.training.steps_per_call
        step.reset_sums()
        for first in range(0, len(window.batches), at_once):
            batches = window.batches[first : first + at_once]
            train_on(step, batches, step=self.state.step + first)
        losses = step.means(step.sums())
        step.reset_sums()
        return losses

    def _timing(self, window: Window, seconds: float) -> dict[str, Any]:
        arrived = window.arrived
        return {
            **_distance(window.status, window.last_time),
            "arrival_s": None if arrived is None else time.time() - arrived / 1_000,
            "rows_per_second": window.end.rows / seconds if seconds else None,
            "skipped_steps": self._skipped_steps.count,
            "learning_rate": float(self._assembly.dense.scheduled_rate()),
        }

    def _checkpoint(self) -> None:
        checkpoints = self._run.checkpoints
        tensors = {**self._ages.tensors(), **self._growth.tensors()}
        checkpoints.write(self.state, self._assembly.variables, tensors=tensors)
        self._written = self._stream.window
        self._reader.note(self._stream.position)
        oldest = checkpoints.state_of_oldest()
        if oldest.stream is not None:
            self._ends.forget_before(oldest.stream.window)


def _behind(
    stream: StreamState,
    window: Window,
    metrics: dict[str, Any],
    sums: Mapping[str, Likelihood],
) -> StreamState:
    """Returns the state of the stream behind a window."""
    counters = dict(stream.counters)
    for reason, count in window.counters.items():
        counters[reason] = counters.get(reason, 0) + count
    last = window.last_time
    return StreamState(
        window=window.end.window + 1,
        rows=stream.rows + window.end.rows,
        position=window.end.position,
        last_time=last if stream.last_time is None else max(last, stream.last_time),
        progressive=added(stream.progressive, sums),
        metrics=metrics,
        counters=counters,
    )


def _distance(status: SourceStatus, last_time: int | None) -> dict[str, Any]:
    """Returns how far learning is behind the stream and behind the clock."""
    return {
        "lag_rows": status.lag_rows,
        "away_s": status.away_seconds,
        "freshness_s": None if last_time is None else time.time() - last_time / 1_000,
    }


def _plotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what TensorBoard shows of a window: each curve costs time at each one."""
    served = values["served"]
    return {
        "tasks": _curves(values["tasks"]),
        "served": {} if served is None else _curves(served["tasks"]),
        **{name: values[name] for name in _PLOTTED},
    }


def _curves(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        task: {name: metrics[name] for name in _CURVES if name in metrics}
        for task, metrics in tasks.items()
    }
