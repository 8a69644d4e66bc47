"""Follows the versions of a model: loads the new one beside the old, then switches."""

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from configs.errors import ExportError
from serving.choice import Choice, candidates, read_choice
from serving.saved_model import LoadedModel, load_model, warm_model
from serving.server.state import ServedModel, ServedVersion
from serving.versions import latest_version

__all__ = ["Reloader"]

_ATTEMPTS = 5
_ATTEMPT_SECONDS = 60.0
"""As TensorFlow Serving: memory that was short a minute ago may be free now."""

_Identity = tuple[int, int, int]
"""Number of a version, and inode and time of its `saved_model.pb`: a version that was
removed and made again is another one."""


@dataclass(kw_only=True)
class _Failure:
    attempts: int
    next_time: float


class Reloader:
    """Looks for the version to serve, again and again.

    A version that fails to load is reported, and the one before stays. One that is
    older than the newest, but can be used, is better than none.

    Args:
        models: base path of the versions.
        served: the model, which requests see.
        say: prints a line.
        load: loads and warms a version.
    """

    def __init__(
        self,
        models: str | Path,
        served: ServedModel,
        say: Callable[[str], None],
        load: Callable[[Path], LoadedModel] | None = None,
    ) -> None:
        self._models = Path(models)
        self._served = served
        self._say = say
        self._load = load or _load_and_warm
        self._identity: _Identity | None = None
        self._failures: dict[_Identity, _Failure] = {}
        self._said = ""
        self._stop = threading.Event()

    def first(self, *, wait: bool = False) -> None:
        """Loads the first version.

        Args:
            wait: whether it is no error if there is none yet.

        Raises:
            ExportError: if there is none, or none that can be used.
        """
        choice = read_choice(self._models)
        found = candidates(self._models, choice)
        if not found and not wait:
            latest_version(self._models)  # says what is missing, if all is
            raise ExportError(_unusable(self._models, choice))
        if not found:
            self._say(f"waiting for the first version in {self._models}")
            return
        problems = self._follow(found)
        if self._served.current is None and problems:
            raise ExportError(problems[0])

    def run(self, seconds: float) -> None:
        """Looks every so many seconds until `stop`; 0: never."""
        while seconds and not self._stop.wait(seconds):
            try:
                self.look()
            except OSError as error:  # A disk that is away: what is loaded stays.
                self._warn(f"{self._models} cannot be read: {error}")
            except Exception:  # A defect of ours is no reason to follow no more.
                self._warn(traceback.format_exc())

    def stop(self) -> None:
        """Ends `run`, after the version that is being loaded."""
        self._stop.set()

    def look(self) -> None:
        """Loads the version to serve, unless it is the one that is served."""
        try:
            choice = read_choice(self._models)
        except ExportError as error:
            self._warn(str(error))
            return
        found = candidates(self._models, choice)
        if not found and choice.version is not None:
            self._warn(_unusable(self._models, choice))
        self._follow(found)

    def _follow(self, found: Mapping[int, Path]) -> list[str]:
        """Loads the first version that can be used; returns what is wrong with those
        before it."""
        problems: list[str] = []
        self._failures = {k: v for k, v in self._failures.items() if k[0] in found}
        for number, folder in found.items():
            identity = _identity(number, folder)
            if self._stop.is_set() or (identity and identity == self._identity):
                break
            if identity is None or not self._may_try(identity):
                continue
            problem = self._try(identity, folder)
            if not problem:
                break
            problems.append(problem)
        return problems

    def _may_try(self, identity: _Identity) -> bool:
        failure = self._failures.get(identity)
        return failure is None or (
            failure.attempts < _ATTEMPTS and time.monotonic() >= failure.next_time
        )

    def _try(self, identity: _Identity, folder: Path) -> str:
        version = ServedVersion(identity[0])
        self._served.add(version)
        try:
            model = self._load(folder)
        except Exception as error:
            version.error, version.state = str(error) or repr(error), "END"
            if not isinstance(error, ExportError):  # A defect of ours: show where.
                self._say(traceback.format_exc())
            self._note_failure(identity, version.error)
            return version.error
        self._identity = identity
        before = self._served.current
        self._say(
            f"{self._served.name} {version.number} is AVAILABLE"
            + (f"; {before.number} ends" if before else "")
        )
        self._served.switch(version, model)
        return ""

    def _note_failure(self, identity: _Identity, error: str) -> None:
        earlier = self._failures.get(identity)
        attempts = 1 if earlier is None else earlier.attempts + 1
        self._failures[identity] = _Failure(
            attempts=attempts, next_time=time.monotonic() + _ATTEMPT_SECONDS
        )
        current = self._served.current
        if current is not None:
            self._warn(f"{error} (version {current.number} stays)")

    def _warn(self, text: str) -> None:
        """Prints a warning once, not at every look."""
        if text != self._said:
            self._said = text
            self._say(f"warning: {text}")


def _load_and_warm(folder: Path) -> LoadedModel:
    model = load_model(folder)
    warm_model(model)
    return model


def _identity(number: int, folder: Path) -> _Identity | None:
    """Returns None if the version was removed meanwhile."""
    try:
        stat = (folder / "saved_model.pb").stat()
    except OSError:
        return None
    return number, stat.st_ino, stat.st_mtime_ns


def _unusable(models: Path, choice: Choice) -> str:
    mend = "choose another with `python -m serving publish JOB --pin N`, or --unpin"
    if choice.version is not None:
        why = f" ({choice.reason})" if choice.reason else ""
        return (
            f"{models} has no complete version {choice.version}, which serving.json"
            f" pins{why}: {mend}"
        )
    return f"all versions in {models} were withdrawn by serving.json: {mend}"
