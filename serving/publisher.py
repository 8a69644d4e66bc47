"""Takes checkpoints of a run through the gate, and makes versions of them.

Everything that it knows is on disk: what it did in `models/decisions.jsonl`, what is
to be served in `models/serving.json`. Killed at any moment, the next one goes on: a
version is there whole or not at all, and one that the log lacks is added to it.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.errors import CheckpointError, ExportError, PairstreamError
from configs.job import Job
from configs.stream import Publish
from serving.choice import (
    Choice,
    previous_version,
    read_choice,
    version_to_serve,
    write_choice,
)
from serving.decisions import (
    Decision,
    append_decision,
    by_version,
    now,
    read_decisions,
    size_of_log,
)
from serving.gate import WINDOWS_BACK, Verdict, judge
from serving.locks import locked
from serving.publish_export import Export, export_in_child
from serving.published import Origin, origin_of, remove_version, sweep_versions
from serving.run_folder import Checkpoint, RunFolder
from serving.schedule import is_decided, is_due
from serving.versions import complete_versions, next_version
from serving.windows import ServedWindow, Window, read_windows

__all__ = ["Publisher", "deciding", "described"]


class Publisher:
    """Publishes the checkpoints of a job's run.

    Only one at a time may do so: whoever makes one holds the lock of `publishing`.

    Args:
        job: names run and models, and says what the gate wants.
        lock: file descriptor of that lock.
        say: prints a line.
        export: makes a version.
    """

    def __init__(
        self,
        job: Job,
        *,
        lock: int,
        say: Callable[[str], None],
        export: Export = export_in_child,
    ) -> None:
        self._job = job
        self._lock = lock
        self._say = say
        self._export = export
        self._models = Path(job.data.models)
        self._run = RunFolder(job.data.run)
        self._settings = job.stream.publish if job.stream else Publish()
        self._unwritten: list[Decision] = []
        self._read: tuple[int, list[Decision]] = (-1, [])

    def recover(self) -> None:
        """Removes what an earlier publisher left half made, and completes its log."""
        sweep_versions(self._models)
        self.reconcile()

    def reconcile(self) -> None:
        """Makes log, kept checkpoints and `served.json` fit the versions there are."""
        with deciding(self._models):
            complete = complete_versions(self._models)
            known = by_version(self._log())
            for number in sorted(complete.keys() - known.keys()):
                self._adopt(number, complete[number])
            for number in self._run.candidates():  # of exports that were killed
                self._run.drop(number)
            for number in self._run.kept_versions():
                # What the log does not know may be kept for another folder of models.
                if number in known and number not in complete:
                    self._run.forget(number)
            self.tell_trainer()

    def tell_trainer(self) -> None:
        """Writes which version of this run is served, for the trainer to score."""
        if self._run.folder.is_dir():
            served = version_to_serve(self._models, read_choice(self._models))
            mine = served is not None and self._is_kept(served)
            self._run.say_served(served if mine else None)

    def consider(
        self, *, which: str = "last", scheduled: bool = False, uncompared: bool = False
    ) -> Decision | None:
        """Looks at a checkpoint, and publishes it if it may be.

        Args:
            which: `last`, `best` or a step.
            scheduled: whether to leave it alone until another version is due.
            uncompared: whether it may be published although the served version cannot
                be scored beside it, being of another run.

        Returns:
            What was decided; None if nothing was: there is no checkpoint, it was
            decided on before, or it is not due.
        """
        self.reconcile()
        log = self._log()
        checkpoint = self._run.checkpoint(which)
        if checkpoint is None or is_decided(log, checkpoint):
            return None
        if scheduled and not is_due(log, checkpoint, self._settings, time.time()):
            return None
        choice = read_choice(self._models)
        if choice.version is not None:
            reason = f"version {choice.version} is pinned"
            return self._wait(checkpoint, log, Verdict("wait", (reason,), (), {}))
        verdict = self._judge(checkpoint, choice, uncompared=uncompared)
        if verdict.action == "wait":
            return self._wait(checkpoint, log, verdict)
        if verdict.action == "reject":
            return self._record(_decision("rejected", checkpoint, verdict))
        return self._publish(checkpoint, verdict, log)

    # The gate.

    def _judge(
        self, checkpoint: Checkpoint, choice: Choice, *, uncompared: bool
    ) -> Verdict:
        gate = self._settings.gate
        windows = read_windows(
            self._run.metrics_file,
            until_step=checkpoint.step,
            at_most=gate.windows * WINDOWS_BACK,
        )
        served = version_to_serve(self._models, choice)
        strange = served is not None and not self._is_kept(served)
        compared = None if strange else served
        live = not windows or windows[-1].kind == "window"
        if not live:
            windows = self._validated(windows, compared)
        verdict = judge(
            windows,
            tasks=[*self._job.model.tasks, *self._job.model.conditionals.values()],
            gate=gate,
            served=compared,
            age_seconds=time.time() - checkpoint.written if live else 0.0,
            sampled=self._job.preprocessing.sampling.active,
        )
        if not strange or verdict.action != "publish":
            return verdict
        why = (
            f"version {served} is not of the run {self._run.folder}, or its checkpoint"
            " is gone: it cannot be scored on the same rows"
        )
        if uncompared:
            return replace(verdict, notes=(*verdict.notes, why))
        reason = f"{why}. Say --uncompared to publish all the same"
        return replace(verdict, action="wait", reasons=(reason,))

    def _validated(self, windows: Sequence[Window], served: int | None) -> list[Window]:
        """Returns the last evaluation of a run over whole example sets; beside it that
        of the served version, if it was of the same rows."""
        last = windows[-1]
        kept = None if served is None else self._run.kept(served)
        for window in reversed(windows):
            if kept and window.step == kept.step and window.rows == last.rows:
                theirs = ServedWindow(version=served or 0, tasks=window.tasks)
                return [replace(last, served=theirs)]
        return [last]

    # Publishing.

    def _publish(
        self, checkpoint: Checkpoint, verdict: Verdict, log: Sequence[Decision]
    ) -> Decision | None:
        numbers = [d.version for d in log if d.version is not None]
        numbers += self._run.kept_versions()
        version = max([next_version(self._models), *(n + 1 for n in numbers)])
        started = time.monotonic()
        try:
            linked = self._run.link(checkpoint, version)
            self._export(self._job, linked.folder, version, self._lock)
            if version not in complete_versions(self._models):
                raise ExportError(f"{self._models / str(version)} did not appear")
            self._run.accept(version)
        except CheckpointError as error:
            self._say(f"{error}: it will be looked at")
            return None
        except (PairstreamError, OSError) as error:
            self._run.drop(version)
            failed = replace(verdict, reasons=(str(error),))
            return self._record(_decision("failed", checkpoint, failed))
        seconds = round(time.monotonic() - started, 1)
        decision = _decision(
            "published", checkpoint, verdict, version=version, seconds=seconds
        )
        with deciding(self._models):
            self._hold_back(version)
            self._record(decision)
            self.tell_trainer()
            self._prune()
        return decision

    def _hold_back(self, version: int) -> None:
        """Withdraws a version that somebody did not know of when he pinned another."""
        choice = read_choice(self._models)
        if choice.version not in (None, version) and version not in choice.withdrawn:
            withdrawn = [*choice.withdrawn, version]
            write_choice(
                self._models, choice.model_copy(update={"withdrawn": withdrawn})
            )

    def _adopt(self, number: int, folder: Path) -> None:
        """Adds to the log a version that is there without a word: another command made
        it, or the publisher was killed just then."""
        origin = origin_of(folder)
        kept = None
        if origin is not None and origin.run == os.path.abspath(self._run.folder):
            self._run.accept(number)
            kept = self._run.kept(number)
        ours = kept is not None and origin is not None and kept.step == origin.step
        if not ours:
            kept = self._linked(origin, number)
        if ours:
            self._hold_back(number)
        note = "its publisher was killed" if ours else "exported by another command"
        self._record(
            Decision(
                time=now(),
                action="published" if ours else "found",
                version=number,
                run=origin.run if origin else None,
                step=origin.step if origin else None,
                checkpoint=kept.digest if kept else None,
                rows=kept.rows if kept else None,
                notes=[note],
            )
        )

    def _linked(self, origin: Origin | None, number: int) -> Checkpoint | None:
        """Keeps the checkpoint of a version that another command exported, if it is of
        this run and still there."""
        if origin is None or origin.run != os.path.abspath(self._run.folder):
            return None
        found = self._run.checkpoint(str(origin.step))
        try:
            if found is not None:
                self._run.link(found, number)
                self._run.accept(number)
        except CheckpointError:
            return None
        return self._run.kept(number) if found else None

    def _is_kept(self, version: int) -> bool:
        """Whether the trainer can score a version: it is of this run, and its
        checkpoint is kept."""
        folder = complete_versions(self._models).get(version)
        origin = None if folder is None else origin_of(folder)
        kept = self._run.kept(version)
        return (
            origin is not None
            and kept is not None
            and origin.run == os.path.abspath(self._run.folder)
            and origin.step == kept.step
        )

    def _prune(self) -> None:
        """Removes old versions that a publisher made, but never the one to serve, the
        one before it, or the one with the highest number."""
        complete = sorted(complete_versions(self._models))
        choice = read_choice(self._models)
        kept = {
            *complete[-self._settings.keep_versions :],
            version_to_serve(self._models, choice),
            previous_version(self._models, choice),
        }
        made = {
            number
            for number, decision in by_version(self._log()).items()
            if decision.action == "published"
        }
        for number in complete:  # one may have come since the log was completed
            if number not in kept and number in made:
                remove_version(self._models, number)
                self._run.forget(number)

    # The log.

    def _log(self) -> list[Decision]:
        """Returns the log; it is read again if it has grown."""
        size = size_of_log(self._models)
        if size != self._read[0]:
            self._read = size, read_decisions(self._models)
        return [*self._read[1], *self._unwritten]

    def _wait(
        self, checkpoint: Checkpoint, log: Sequence[Decision], verdict: Verdict
    ) -> Decision:
        """Says once of each checkpoint, and once while a version is pinned, why
        nothing happens."""
        decision = _decision("waits", checkpoint, verdict)
        last = log[-1] if log else None
        told = last is not None and last.action == "waits"
        if last is not None and told:
            told = (
                last.checkpoint == decision.checkpoint
                or last.reasons == decision.reasons
            )
        return decision if told else self._record(decision)

    def _record(self, decision: Decision) -> Decision:
        """Writes a decision; where the disk is full, as soon as it can be written."""
        self._say(described(decision))
        self._unwritten.append(decision)
        try:
            while self._unwritten:
                append_decision(self._models, self._unwritten[0])
                del self._unwritten[0]
        except OSError as error:
            self._say(f"warning: the log of decisions cannot be written: {error}")
        return decision


def deciding(models: Path) -> AbstractContextManager[int]:
    """Holds the lock for the moments in which `serving.json` and the log change."""
    return locked(models / ".serving.lock", wait=lambda _: None, what="decides")


def described(decision: Decision) -> str:
    """Returns a decision in words."""
    what: str = decision.action
    if decision.action in ("published", "found"):
        what = f"version {decision.version} {decision.action}"
    where = f"step {decision.step}: " if decision.step is not None else ""
    took = f" in {decision.seconds:g} s" if decision.seconds is not None else ""
    why = "; ".join([*decision.reasons, *decision.notes])
    return f"{where}{what}{took}" + (f": {why}" if why else "")


def _decision(
    action: Any,
    checkpoint: Checkpoint,
    verdict: Verdict,
    *,
    version: int | None = None,
    seconds: float | None = None,
) -> Decision:
    return Decision(
        time=now(),
        action=action,
        version=version,
        run=str(checkpoint.folder.parent.parent),
        step=checkpoint.step,
        checkpoint=checkpoint.digest,
        rows=checkpoint.rows,
        reasons=list(verdict.reasons),
        notes=list(verdict.notes),
        figures=verdict.figures,
        seconds=seconds,
    )
