"""Runs the server: listens, follows the versions of a model, serves until told to."""

import contextlib
import gc
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import uvicorn

from configs.errors import ExportError
from serving.server.app import build_app
from serving.server.listener import address_of
from serving.server.reload import Reloader
from serving.server.settings import Limits
from serving.server.state import ServedModel

__all__ = ["serve"]


def serve(
    models: str | Path,
    *,
    name: str,
    listener: socket.socket,
    limits: Limits,
    poll_seconds: float = 1.0,
    wait: bool = False,
) -> None:
    """Serves the highest version under `models`, or the one that `serving.json`
    chooses, until SIGTERM or SIGINT.

    The server listens at once and reports `LOADING`; requests are answered once the
    golden rows have been. A new version is loaded beside the one that answers. On
    SIGTERM the server takes no new connection, lets running requests end, and returns.

    Args:
        models: base path of the versions.
        name: of the model, in its address.
        listener: a listening socket (`serving.server.listener`); it is closed.
        limits: on requests.
        poll_seconds: between looks for another version; 0: none but the first.
        wait: for the first version, if there is none.

    Raises:
        ExportError: if there is no version, or none that can be used.
    """
    served = ServedModel(name)
    reloader = Reloader(models, served, _say)
    address = address_of(listener)
    server = _Server(served, limits)
    # What is there now stays: unloading a version then need not look through it, which
    # would take a quarter of a second off all requests.
    gc.collect()
    gc.freeze()
    following = threading.Thread(
        target=_follow, args=(reloader, server, poll_seconds, wait), name="versions"
    )
    with listener:
        _say(f"loading from {models}, listening on {address}")
        _say(f"POST http://{address}/v1/models/{name}:predict")
        following.start()
        server.run(sockets=[listener])
        served.stopping = True
        reloader.stop()
        following.join()
    if served.error:
        raise ExportError(served.error)
    _say("stopped")


class _Server(uvicorn.Server):
    """A uvicorn server that returns after SIGTERM instead of dying of it."""

    def __init__(self, served: ServedModel, limits: Limits) -> None:
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
        self.served = served

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
        self.served.stopping = True
        super().handle_exit(sig, frame)


def _follow(
    reloader: Reloader, server: _Server, poll_seconds: float, wait: bool
) -> None:
    try:
        reloader.first(wait=wait)
    except Exception as error:
        server.served.error = str(error)
        server.should_exit = True
        if not isinstance(error, ExportError):  # A defect of ours: show where.
            raise
        return
    reloader.run(poll_seconds)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
