"""The server as a process: start, concurrency, signals, failures."""

import http.client
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configs.errors import RequestError
from serving.client import Client
from tests.serving.conftest import ROOT, Server, command, running
from tests.serving.models import ROW, ROWS


def test_client_gets_the_golden_predictions(server: Server, full_models: Path) -> None:
    client = Client(server.address, "shop")
    lines = (full_models / "1/assets.extra/golden.jsonl").read_text().splitlines()
    expected = [json.loads(line)["predictions"] for line in lines]
    for predicted, wanted in zip(client.predict(ROWS), expected, strict=True):
        assert predicted == pytest.approx(wanted, abs=1e-6)
    nan = {**ROW, "age": float("nan")}
    assert client.predict([nan]) == client.predict([{**ROW, "age": None}])
    assert client.predict([ROW], version=1) == client.predict([ROW])
    assert client.metadata()["model_spec"]["name"] == "shop"
    state = client.status()["model_version_status"][0]
    assert (state["version"], state["state"]) == ("1", "AVAILABLE")


def test_client_says_why(server: Server) -> None:
    client = Client(server.address, "shop")
    with pytest.raises(RequestError, match=r"answers 400: .*expected a number"):
        client.predict([{**ROW, "age": "x"}])
    with pytest.raises(RequestError, match=r"answers 404: .*Latest\(other\)"):
        Client(server.address, "other").status()
    with pytest.raises(RequestError, match="gives no answer"):
        Client("http://127.0.0.1:9", "shop", timeout=2).status()
    with pytest.raises(RequestError, match="expected one such as"):
        Client("127.0.0.1:8501", "shop")
    with pytest.raises(RequestError, match="not available after"):
        Client("http://127.0.0.1:9", "shop").wait_until_available(0.2)


def test_concurrent_requests_get_their_own_answers(server: Server) -> None:
    client = Client(server.address, "shop")
    expected = client.predict(ROWS)

    def ask(number: int) -> bool:
        row = number % len(ROWS)
        (found,) = client.predict([ROWS[row]])
        return bool(found == pytest.approx(expected[row], abs=1e-6))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))


def test_body_without_declared_length_is_bounded(full_models: Path) -> None:
    with running(full_models, "--max-body-bytes", "1000") as started:
        Client(started.address, "shop").wait_until_available()
        address = started.address.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=10)
        parts = (b" " * 500 for _ in range(4))  # sent in chunks
        connection.request("POST", "/v1/models/shop:predict", body=parts)
        answer = connection.getresponse()
        assert answer.status == 413
        assert "larger than 1000 bytes" in json.load(answer)["error"]
        connection.close()
        assert len(Client(started.address, "shop").predict([ROW])) == 1


def test_sigterm_lets_running_requests_end(full_models: Path) -> None:
    with running(full_models, "--threads", "1") as started:
        client = Client(started.address, "shop", timeout=30)
        client.wait_until_available()
        rows = [ROWS[i % 5] for i in range(10_000)]
        answers: list[int] = []
        thread = threading.Thread(
            target=lambda: answers.append(len(client.predict(rows)))
        )
        thread.start()
        time.sleep(0.1)  # The request is being read or computed.
        started.process.send_signal(signal.SIGTERM)
        status, stderr = started.end()
        thread.join()
        assert answers == [10_000]
        assert status == 0
        assert stderr.splitlines()[-1] == "stopped"
        with pytest.raises(RequestError):
            client.status()


def failing(*arguments: str) -> str:
    """Runs a command that has to fail; returns its stderr."""
    done = subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_damaged_version_ends_the_server(full_models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(full_models / "1", tmp_path / "4")
    data = folder / "variables/variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    stderr = failing("serve", str(tmp_path), "--name", "shop", "--port", "0")
    assert f"error: {folder} is damaged and cannot be loaded" in stderr


def test_port_in_use(full_models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        stderr = failing("serve", str(full_models), "--name", "shop", "--port", port)
    assert f"cannot listen on 127.0.0.1:{port}" in stderr
    assert "Choose another --port" in stderr


def test_server_imports_neither_trainer_nor_preprocessing() -> None:
    code = (
        "import sys, serving.server.run, serving.predict, serving.client\n"
        "bad = {'trainer', 'preprocessing', 'apache_beam', 'pyarrow'}\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    done = subprocess.run(
        [*command()[:1], "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
