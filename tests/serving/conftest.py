"""Exported models and servers that the tests of serving share."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serving.models import FULL_JOB, ROWS, SINGLE_JOB, write_models

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def full_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base path of a model with every kind of feature and two tasks."""
    return write_models(tmp_path_factory.mktemp("full"), FULL_JOB, ROWS).parent


@pytest.fixture(scope="session")
def single_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base path of a model with one input and one task."""
    base = tmp_path_factory.mktemp("single")
    return write_models(base, SINGLE_JOB, [{"word": "a"}]).parent


@pytest.fixture(scope="session")
def full_model(full_models: Path) -> Any:
    from serving.saved_model import load_model

    return load_model(full_models / "1")


@pytest.fixture(scope="session")
def single_model(single_models: Path) -> Any:
    from serving.saved_model import load_model

    return load_model(single_models / "1")


class Server:
    """A server process and its address."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process = process
        self.address = address

    def end(self, seconds: float = 30.0) -> tuple[int, str]:
        """Waits for the end; returns exit status and what stderr still held."""
        _, stderr = self.process.communicate(timeout=seconds)
        return self.process.returncode, stderr


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "serving", *arguments]


@contextmanager
def running(models: Path, *options: str) -> Iterator[Server]:
    """Starts a server on a free port of the loopback."""
    process = subprocess.Popen(
        command("serve", str(models), "--name", "shop", "--port", "0", *options),
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            found = re.search(r"listening on (\S+:\d+)", line)
            if found:
                yield Server(process, f"http://{found[1]}")
                break
        else:
            pytest.fail(f"the server ended with status {process.wait()}")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="session")
def server(full_models: Path) -> Iterator[Server]:
    """A server of the full model, available."""
    from serving.client import Client

    with running(full_models) as started:
        Client(started.address, "shop").wait_until_available(60)
        yield started


@pytest.fixture(scope="session")
def ask(full_model: Any) -> Callable[..., tuple[int, Any]]:
    """`ask(method, path, body)` on an application in this process."""
    return asker(full_model, "shop")


def asker(
    model: Any, name: str, *, state: Any = "AVAILABLE", **limits: int
) -> Callable[..., tuple[int, Any]]:
    from serving.server.state import ServedModel, ServedVersion

    served = ServedModel(name)
    served.add(version := ServedVersion(1))
    if state == "AVAILABLE":
        served.switch(version, model)
    served.stopping = state == "UNLOADING"
    return asking(served, **limits)


def asking(served: Any, **limits: int) -> Callable[..., tuple[int, Any]]:
    """`ask` on an application of this process that serves `served`."""
    import httpx

    from serving.server.app import build_app
    from serving.server.settings import Limits

    app = build_app(served, Limits(**limits))
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://server"
    )
    loop = asyncio.new_event_loop()

    def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = client.request(method, path, content=content)
        answer = loop.run_until_complete(request)
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, answer.json()

    return ask
