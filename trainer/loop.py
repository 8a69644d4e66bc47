"""The training loop: epochs, evaluations, checkpoints, callbacks.

Everything that decides about a later step is in `State`, so that a loop which starts
from a checkpoint does what the uninterrupted one would have done.
"""

import sys
from collections.abc import Sequence
from typing import Any

import keras

from configs.job import Job
from trainer.agreement import Agreement
from trainer.assembly import Assembly
from trainer.checkpoint import State
from trainer.cluster import ALONE, Cluster
from trainer.inputs.examples import Batch
from trainer.inputs.files import ExampleFiles, Position
from trainer.interruption import SIGNALS, Interruption
from trainer.journal import Journal, NoJournal
from trainer.progress import Progress
from trainer.run import Run
from trainer.scoring import Scorer, score_split, value_for
from trainer.selection import after_evaluation, should_stop
from trainer.skipped_steps import SkippedSteps
from trainer.step import train_on

__all__ = ["LOG_EVERY", "TrainingLoop"]

LOG_EVERY = 50
"""Steps between log points: reading the losses waits for the device."""

_CONTEXTS_WITH_PAIRS = "/contexts_with_pairs"
"""Ends the name of a diagnostic: the share of contexts with a pair to rank."""

_ENOUGH_CONTEXTS = 0.5
"""Below this share of contexts with pairs most of a ranking loss's data is lost."""

_BATCH_HOOKS = (
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_batch_begin",
    "on_batch_end",
)


class TrainingLoop:
    """Trains from a state to the end.

    Args:
        job: the job.
        run: its folder.
        assembly: model, optimizers and step, restored to `state`.
        training: source of the training split.
        validation: source of the validation split, if there is one.
        state: to go on from.
        callbacks: Keras callbacks.
        interruption: watched between steps.
        cluster: the workers that train together; all but the chief write nothing.
    """

    def __init__(
        self,
        job: Job,
        run: Run,
        assembly: Assembly,
        *,
        training: ExampleFiles,
        validation: ExampleFiles | None,
        state: State,
        callbacks: Sequence[keras.callbacks.Callback],
        interruption: Interruption,
        cluster: Cluster = ALONE,
    ) -> None:
        self.state = state
        self._job = job
        self._run = run
        self._assembly = assembly
        self._step = assembly.step
        self._training = training
        self._validation = validation
        self._interruption = interruption
        self._writes = cluster.is_chief
        self._agreement = Agreement(cluster)
        self._signal: int | None = None
        self._written = state.step
        self._step.reset_sums(state.loss_sums)
        self._epoch_sums = list(state.epoch_loss_sums)
        self._logs: dict[str, float] = {}
        self._warned: set[str] = set()
        if validation is not None:
            self._scorer = Scorer(assembly.inference, validation.element_spec)
        epochs = job.training.epochs
        done = state.epoch * training.rows + state.row
        limit = (job.training.max_steps or sys.maxsize) * training.batch_size
        total = min(epochs * training.rows, limit)
        self._progress = Progress(total, done, quiet=not self._writes)
        self._journal = (
            Journal(run.metrics_file, run.tensorboard, step=state.step)
            if self._writes
            else NoJournal()
        )
        self._skipped_steps = SkippedSteps(
            assembly.step,
            limit=job.training.max_bad_steps,
            checkpoints=run.checkpoints.folder,
            warn=self._progress.write,
        )
        # What watches batches is to see each as it was when its step was made.
        watched = any(_watches_batches(callback) for callback in callbacks)
        self._steps_per_call = 1 if watched else job.training.steps_per_call
        self._callbacks = keras.callbacks.CallbackList(
            list(callbacks),
            add_history=True,
            model=assembly.model,
            epochs=epochs,
            steps=-(-training.rows // training.batch_size),
            verbose=0,
        )

    @property
    def signal(self) -> int | None:
        """The signal that ended training, if one did, on whichever worker it came."""
        return self._signal

    def run(self) -> State:
        """Trains, and returns the state at the end or at the interruption."""
        model = self._assembly.model
        model.stop_training = False
        self._callbacks.on_train_begin()
        try:
            while self.state.epoch < self._job.training.epochs and not self._ends():
                self._callbacks.on_epoch_begin(self.state.epoch)
                if not self._train_epoch():
                    break
                self._end_epoch()
            if self._signal is None:
                self._log()
                self._evaluate()  # where training ended inside an epoch
        finally:
            self._progress.close()
            self._journal.close()
        self._callbacks.on_train_end(self._logs)
        if self._written != self.state.step:
            self._checkpoint()
        return self.state

    def _ends(self) -> bool:
        return self._stopped() or self._made_all() or should_stop(self.state, self._job)

    def _stopped(self) -> bool:
        """Returns whether a signal or a callback stops training, on any worker."""
        came = self._interruption.signal
        *signals, by_callback = self._agreement.any_before(
            [
                *(came == number for number in SIGNALS),
                self._assembly.model.stop_training,
            ]
        )
        for number, agreed in zip(SIGNALS, signals, strict=True):
            if agreed:
                self._signal = self._interruption.signal = number
        return self._signal is not None or by_callback

    def _made_all(self) -> bool:
        limit = self._job.training.max_steps
        return limit is not None and self.state.step >= limit

    def _train_epoch(self) -> bool:
        """Trains to the end of the epoch; returns False if it ended before."""
        position = Position(epoch=self.state.epoch, row=self.state.row)
        batches: list[tuple[Batch, ...]] = []
        for shares in self._training.batches(position):
            batches.append(shares)
            if len(batches) < self._steps_to_stop():
                continue
            self._train_batches(batches)
            batches = []
            if self.state.row < self._training.rows:
                if self._ends():
                    return False
        if batches:
            self._train_batches(batches)
        return True

    def _steps_to_stop(self) -> int:
        """Returns how many steps the next call may make: nothing that is done after a
        certain step may fall into the middle of a call."""
        every = self._job.training
        step = self.state.step
        stops = [LOG_EVERY, every.checkpoint_every, every.evaluate_every or LOG_EVERY]
        steps = min(self._steps_per_call, *(stop - step % stop for stop in stops))
        return steps if every.max_steps is None else min(steps, every.max_steps - step)

    def _train_batches(self, batches: Sequence[tuple[Batch, ...]]) -> None:
        state, every = self.state, self._job.training
        self._callbacks.on_train_batch_begin(state.batch)
        train_on(self._step, batches, step=state.step)
        count = len(batches)
        left = self._training.rows - state.row
        rows = min(count * self._training.batch_size, left)
        self._update(
            step=state.step + count, row=state.row + rows, batch=state.batch + count
        )
        self._progress.advance(rows)
        if self.state.step % LOG_EVERY == 0:
            self._log()
        self._callbacks.on_train_batch_end(self.state.batch - 1, self._logs)
        if self.state.row == self._training.rows:
            return  # the end of the epoch evaluates and writes
        if every.evaluate_every and self.state.step % every.evaluate_every == 0:
            self._evaluate()
        best = self.state.best is not None and self.state.best.step == self.state.step
        if best or self.state.step % every.checkpoint_every == 0:
            self._checkpoint()

    def _end_epoch(self) -> None:
        self._log()
        losses = self._step.means(self._epoch_sums)
        self._epoch_sums = []
        epoch = self.state.epoch
        self._update(epoch=epoch + 1, row=0, batch=0)
        logs = dict(losses)
        if self._validation is not None:
            logs |= self._evaluate()
        self._logs = logs
        self._callbacks.on_epoch_end(epoch, logs)
        # After the callbacks: they may have changed the learning rate.
        self._checkpoint()

    def _log(self) -> None:
        sums = self._step.sums()
        self._step.reset_sums()
        self._epoch_sums = _added(self._epoch_sums, sums)
        self._skipped_steps.check(self.state.step)
        means = self._step.means(sums)
        if not means:
            return
        self._logs = means
        self._warn_of_lonely_contexts(means)
        self._progress.note(f"loss {means['loss']:.4f}")
        self._journal.write(
            "train",
            step=self.state.step,
            epoch=self.state.epoch,
            values={
                **means,
                "learning_rate": float(self._assembly.dense.scheduled_rate()),
                "skipped_steps": self._skipped_steps.count,
                "rows_per_second": self._progress.rows_per_second(),
            },
        )

    def _warn_of_lonely_contexts(self, means: dict[str, float]) -> None:
        for name, share in means.items():
            lonely = name.endswith(_CONTEXTS_WITH_PAIRS) and share < _ENOUGH_CONTEXTS
            if lonely and name not in self._warned:
                self._warned.add(name)
                self._progress.write(
                    f"warning: {name} is {share:.2f}: of the contexts in a batch only"
                    " that share holds a positive and a negative row, so most rows give"
                    " the ranking loss nothing to compare. Use larger batches, a"
                    " coarser context, or keep more negatives"
                )

    def _evaluate(self) -> dict[str, float]:
        """Scores the validation split; returns what callbacks see of it."""
        if self._validation is None or self.state.evaluated == self.state.step:
            return {}
        self._callbacks.on_test_begin()
        metrics = score_split(self._scorer, self._validation, self._job)
        first = metrics[next(iter(self._job.model.tasks))]
        names = ("auc", "gauc", "log_loss")
        own = [value_for(first, name) for name in names]
        agreed = self._agreement.as_the_chief(own)
        values = dict(zip(names, agreed, strict=True))
        self.state = after_evaluation(self.state, self._job, values)
        self._update(validation=metrics)
        self._written = -1  # a checkpoint of this step does not know it yet
        self._journal.write(
            "validation", step=self.state.step, epoch=self.state.epoch, values=metrics
        )
        logs = _callback_logs(metrics)
        self._callbacks.on_test_end(logs)
        shown = ", ".join(f"{n} {v:.5f}" for n, v in values.items() if v is not None)
        self._progress.write(f"step {self.state.step:,}: validation {shown}")
        return logs

    def _checkpoint(self) -> None:
        self._skipped_steps.check(
            self.state.step
        )  # after hopeless steps none is written
        self._update(loss_sums=self._step.sums(), epoch_loss_sums=self._epoch_sums)
        if self._writes:
            self._run.checkpoints.write(self.state, self._assembly.variables)
        self._written = self.state.step

    def _update(self, **changes: Any) -> None:
        self.state = self.state.model_copy(update=changes)


def _added(first: list[float], second: list[float]) -> list[float]:
    if not first or not second:
        return list(first or second)
    return [a + b for a, b in zip(first, second, strict=True)]


def _watches_batches(callback: keras.callbacks.Callback) -> bool:
    # Attributes of the instance count too: LambdaCallback sets its hooks there.
    return any(
        getattr(getattr(callback, hook), "__func__", None)
        is not getattr(keras.callbacks.Callback, hook)
        for hook in _BATCH_HOOKS
    )


def _callback_logs(metrics: dict[str, Any]) -> dict[str, float]:
    """Names metrics as Keras does: `val_click_auc`."""
    return {
        f"val_{task}_{name}": value
        for task, values in metrics.items()
        for name, value in values.items()
        if isinstance(value, float)
    }
