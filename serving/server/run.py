"""Runs the server: listens, loads the newest version, serves until told to stop."""

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import uvicorn

from configs.errors import ExportError
from serving.saved_model import load_model, warm_model
from serving.server.app import build_app
from serving.server.listener import address_of
from serving.server.settings import Limits
from serving.server.state import ServedVersion
from serving.versions import latest_version

__all__ = ["serve"]


def serve(
    models: str | Path, *, name: str, listener: socket.socket, limits: Limits
) -> None:
    """Serves the highest version under `models` until SIGTERM or SIGINT.

    The server listens at once and reports `LOADING`; requests are answered once the
    golden rows have been. On SIGTERM it takes no new connection, lets running requests
    end, and returns.

    Args:
        models: base path of the versions.
        name: of the model, in its address.
        listener: a listening socket (`serving.server.listener`); it is closed.
        limits: on requests.

    Raises:
        ExportError: if there is no version, or it cannot be used.
    """
    number, folder = latest_version(models)
    served = ServedVersion(name=name, number=number)
    address = address_of(listener)
    server = _Server(served, limits)
    loading = threading.Thread(
        target=_load,
        args=(served, folder, server, f"http://{address}/v1/models/{name}"),
        name="loading",
    )
    with listener:
        _say(f"loading {folder}, listening on {address}")
        loading.start()
        server.run(sockets=[listener])
        served.state = "UNLOADING"
        loading.join()
    if served.error:
        raise ExportError(served.error)
    _say("stopped")


class _Server(uvicorn.Server):
    """A uvicorn server that returns after SIGTERM instead of dying of it."""

    def __init__(self, served: ServedVersion, limits: Limits) -> None:
        super().__init__(
            uvicorn.Config(
                build_app(served, limits),
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=limits.grace_seconds,
            )
        )
        self._served = served

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which afterwards raises the signal again."""
        handled = (signal.SIGINT, signal.SIGTERM)
        earlier = {
            number: signal.signal(number, self.handle_exit) for number in handled
        }
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stops taking requests; a second SIGINT stops waiting for running ones."""
        self._served.state = "UNLOADING"
        super().handle_exit(sig, frame)


def _load(
    served: ServedVersion, folder: Path, server: uvicorn.Server, address: str
) -> None:
    try:
        model = load_model(folder)
        warm_model(model)
    except Exception as error:
        served.state = "END"
        served.error = str(error)
        server.should_exit = True
        if not isinstance(error, ExportError):  # A defect of ours: show where.
            raise
        return
    served.model = model
    if served.state == "LOADING":  # And not told to stop meanwhile.
        served.state = "AVAILABLE"
        _say(f"{served.name} {served.number} is AVAILABLE: POST {address}:predict")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
