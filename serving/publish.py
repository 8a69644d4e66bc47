"""The commands of `python -m serving publish`: once, watching, and by hand."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import FrameType

from configs.errors import ExportError, PairstreamError
from configs.job import Job
from serving.choice import (
    Choice,
    previous_version,
    read_choice,
    version_to_serve,
    write_choice,
)
from serving.decisions import Decision, append_decision, now, read_decisions, table
from serving.locks import locked
from serving.publish_export import Export, export_in_child
from serving.publisher import Publisher, deciding, described
from serving.run_folder import RunFolder
from serving.versions import complete_versions

__all__ = [
    "pin_version",
    "publish_once",
    "roll_back",
    "show_log",
    "unpin",
    "watch",
]

REFUSED = 1
"""Exit status of a command that published nothing because of the gate."""


def publish_once(
    job: Job,
    *,
    which: str = "last",
    uncompared: bool = False,
    export: Export = export_in_child,
) -> int:
    """Publishes a checkpoint if the gate lets it pass, and returns the exit status: 0
    if it is published (now or before), 1 if not.

    Args:
        job: the job.
        which: `last`, `best` or a step.
        uncompared: whether it may be published although the served version is of
            another run.
        export: makes a version.

    Raises:
        PairstreamError: if another process publishes, or there is no such checkpoint.
    """
    with _publishing(job, wait=None) as lock:
        publisher = Publisher(job, lock=lock, say=_say, export=export)
        publisher.recover()
        decision = publisher.consider(which=which, uncompared=uncompared)
        if decision is None:
            return _nothing_new(job, which)
        return 0 if decision.action == "published" else REFUSED


def watch(
    job: Job,
    *,
    uncompared: bool = False,
    poll_seconds: float = 2.0,
    export: Export = export_in_child,
) -> None:
    """Publishes again and again until SIGTERM or SIGINT.

    Args:
        job: the job; its run need not exist yet.
        uncompared: as for `publish_once`.
        poll_seconds: between looks for a checkpoint.
        export: makes a version.
    """
    with (
        _until_told(),
        _publishing(job, wait=lambda why: _say(f"waiting: {why}")) as lock,
    ):
        publisher = Publisher(job, lock=lock, say=_say, export=export)
        _say(f"watching {job.data.run}, publishing to {job.data.models}")
        try:
            _forever(publisher, poll_seconds, uncompared)
        except _Stopped:
            with suppress(PairstreamError, OSError):  # the next one does so, too
                publisher.recover()  # removes what was half made
            _say("stopped")


def pin_version(job: Job, version: int, reason: str = "") -> None:
    """Has servers serve one version, whatever else is published.

    Raises:
        ExportError: if there is no such version.
    """
    models = Path(job.data.models)
    with deciding(models):
        complete = complete_versions(models)
        if version not in complete:
            raise ExportError(
                f"{models} has no complete version {version}; it has"
                f" {', '.join(map(str, complete)) or 'none'}"
            )
        choice = _choice(models).model_copy(update={"version": version})
        _choose(job, choice, "pinned", version, reason)


def roll_back(job: Job, reason: str = "") -> None:
    """Withdraws the served version and pins the one before it.

    Raises:
        ExportError: if there is none before it.
    """
    models = Path(job.data.models)
    with deciding(models):
        choice = _choice(models)
        served, before = (
            version_to_serve(models, choice),
            previous_version(models, choice),
        )
        if before is None:
            raise ExportError(
                f"{models} has no version to go back to"
                + (f" from {served}" if served is not None else "")
            )
        newer = {number for number in complete_versions(models) if number > before}
        withdrawn = sorted(newer.union(choice.withdrawn))
        chosen = Choice(version=before, withdrawn=withdrawn)
        _choose(job, chosen, "rolled back", before, reason)


def unpin(job: Job, reason: str = "") -> None:
    """Has servers serve the newest version again that was not withdrawn.

    Raises:
        ExportError: if all were.
    """
    models = Path(job.data.models)
    with deciding(models):
        choice = _choice(models).model_copy(update={"version": None})
        newest = version_to_serve(models, choice)
        if newest is None:
            raise ExportError(
                f"{models} has no version that was not withdrawn: publish one first, or"
                " pin one"
            )
        _choose(job, choice, "unpinned", newest, reason)


def show_log(job: Job, lines: int | None = None) -> None:
    """Prints the last decisions, and what is served."""
    models = Path(job.data.models)
    decisions = read_decisions(models)
    print(table(decisions[-lines:] if lines else decisions))
    choice = read_choice(models)
    served = version_to_serve(models, choice)
    how = "pinned" if choice.version is not None else "the newest"
    why = f": {choice.reason}" if choice.reason and choice.version is not None else ""
    held = [n for n in choice.withdrawn if n in complete_versions(models)]
    print(f"to be served: {served or 'none'}" + (f" ({how}{why})" if served else ""))
    if held:
        print(f"withdrawn: {', '.join(map(str, held))}")


def _choice(models: Path) -> Choice:
    """Reads the choice; a damaged one is about to be replaced."""
    try:
        return read_choice(models)
    except ExportError as error:
        print(f"warning: {error}", file=sys.stderr)
        return Choice()


def _choose(job: Job, choice: Choice, action: str, version: int, reason: str) -> None:
    models = Path(job.data.models)
    chosen = choice.model_copy(update={"reason": reason})
    try:
        write_choice(models, chosen)
        decision = Decision.model_validate(
            {
                "time": now(),
                "action": action,
                "version": version,
                "reasons": [reason] if reason else [],
            }
        )
        _say(f"{described(decision)} (version {version} is to be served)")
        append_decision(models, decision)
        Publisher(job, lock=-1, say=_say).tell_trainer()
    except OSError as error:
        raise ExportError(f"{models} cannot be written: {error}") from error


def _nothing_new(job: Job, which: str) -> int:
    found = RunFolder(job.data.run).checkpoint(which)
    if found is None:
        raise ExportError(
            f"{job.data.run} has no checkpoint {which!r}: train first, or name another"
            " run in data.run"
        )
    decision = next(
        d
        for d in reversed(read_decisions(job.data.models))
        if d.checkpoint == found.digest
        and d.action in ("published", "found", "rejected")
    )
    _say(f"nothing new: {described(decision)} ({decision.time})")
    return REFUSED if decision.action == "rejected" else 0


def _publishing(
    job: Job, wait: Callable[[str], None] | None
) -> AbstractContextManager[int]:
    models = Path(job.data.models)
    return locked(models / ".publish.lock", wait=wait, what="publishes to it")


def _forever(publisher: Publisher, poll_seconds: float, uncompared: bool) -> None:
    first, said = True, ""
    while True:
        try:
            publisher.recover() if first else None
            publisher.consider(scheduled=True, uncompared=uncompared)
            first = False
            said = ""
        except (PairstreamError, OSError) as error:
            # A full disk, a damaged file: whoever mends it need not start us again.
            if str(error) != said:
                said = str(error)
                _say(f"warning: {said}")
        time.sleep(poll_seconds)


class _Stopped(BaseException):
    """Raised where the process is when it is told to stop: no export is waited for."""


@contextmanager
def _until_told() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        for handled in earlier:  # once: what is removed then is not interrupted
            signal.signal(handled, signal.SIG_IGN)
        raise _Stopped

    earlier = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    for number in earlier:
        signal.signal(number, stop)
    try:
        yield
    except _Stopped:  # while waiting for the lock
        pass
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(text, flush=True)
