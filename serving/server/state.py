"""The versions of a model that a server has, from loading to unloading."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from serving.saved_model import LoadedModel

__all__ = ["ServedModel", "ServedVersion", "State"]

State = Literal["LOADING", "AVAILABLE", "UNLOADING", "END"]
"""As TensorFlow Serving names them. `END` with an error: the version failed to load."""

_ENDED = 8
"""Versions without a model that are still listed."""


@dataclass(eq=False)
class ServedVersion:
    """One version of one model.

    Attributes:
        number: of the version.
        state: requests are answered while it is `AVAILABLE`.
        model: set while the state is `AVAILABLE`, or `UNLOADING` with requests that
            are still computed.
        error: why loading failed, else empty.
        requests: that are computed with it.
    """

    number: int
    state: State = "LOADING"
    model: LoadedModel | None = None
    error: str = ""
    requests: int = 0

    def status(self) -> dict[str, Any]:
        """Returns an entry of TensorFlow Serving's model status API."""
        return {
            "version": str(self.number),
            "state": self.state,
            "status": {
                "error_code": "UNKNOWN" if self.error else "OK",
                "error_message": self.error,
            },
        }


class ServedModel:
    """The versions of one model, and the current one, which answers requests.

    Safe for threads: requests borrow a version, another thread replaces it.

    Attributes:
        name: of the model.
        current: the version that answers requests for no version in particular.
        stopping: whether the server ends: it takes no further requests.
        error: why no version could be loaded at the start, else empty.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.current: ServedVersion | None = None
        self.stopping = False
        self.error = ""
        self._versions: list[ServedVersion] = []
        self._idle = threading.Condition()

    @property
    def ready(self) -> bool:
        """Whether requests can be answered."""
        return self.current is not None and not self.stopping

    @property
    def state(self) -> State:
        """Of the model as a whole."""
        if self.stopping:
            return "UNLOADING"
        if self.current is not None:
            return "AVAILABLE"
        return "END" if self.error else "LOADING"

    def add(self, version: ServedVersion) -> None:
        """Lists a version, which is not answering yet."""
        with self._idle:
            self._versions.append(version)
            ended = [v for v in self._versions if v.state == "END"]
            for old in ended[: max(len(ended) - _ENDED, 0)]:
                self._versions.remove(old)

    def find(self, number: int | None) -> ServedVersion | None:
        """Returns the version with a number, an available one if there are several;
        the current one for no number. None if there is none."""
        with self._idle:
            return self._find(number)

    def _find(self, number: int | None) -> ServedVersion | None:
        if number is None:
            return self.current
        found = [v for v in reversed(self._versions) if v.number == number]
        answering = [v for v in found if v.state == "AVAILABLE"]
        return next(iter(answering + found), None)

    @contextmanager
    def borrowed(self, number: int | None) -> Iterator[ServedVersion | None]:
        """Yields the version that is to answer a request, and keeps its model until
        the block ends; None if there is no such version."""
        with self._idle:
            version = self._find(number)
            if version is not None and version.state != "AVAILABLE":
                version = None
            if version is not None:
                version.requests += 1
        try:
            yield version
        finally:
            if version is not None:
                with self._idle:
                    version.requests -= 1
                    self._idle.notify_all()

    def switch(self, version: ServedVersion, model: LoadedModel) -> None:
        """Lets a version, warmed already, answer; then unloads the one before, once
        the requests that it computes have ended."""
        with self._idle:
            version.model, version.state = model, "AVAILABLE"
            old, self.current = self.current, version
            if old is None:
                return
            old.state = "UNLOADING"
            self._idle.wait_for(lambda: old.requests == 0)
            old.model, old.state = None, "END"
        # Graphs refer to themselves: without this the weights would stay for a while.
        gc.collect()

    def status(self, number: int | None = None) -> dict[str, Any] | None:
        """Returns the answer of TensorFlow Serving's model status API, newest version
        first: of one version, or of all; None if there is no such version."""
        with self._idle:
            if number is None:
                chosen = sorted(self._versions, key=lambda v: v.number, reverse=True)
            else:
                found = self._find(number)
                chosen = [] if found is None else [found]
            if not chosen and number is not None:
                return None
            return {"model_version_status": [version.status() for version in chosen]}
