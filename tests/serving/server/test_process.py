"""The server as a process: start, concurrency, signals, failures."""

import http.client
import json
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configs.errors import ExportError, PairstreamError, RequestError
from serving.cli import main
from serving.client import Client
from serving.server.listener import listen
from serving.server.run import serve
from serving.server.settings import Limits
from tests.serving.conftest import Server, running
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


def test_a_client_that_sends_too_much_still_gets_its_answer(server: Server) -> None:
    address = server.address.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("POST", "/v1/models/shop:predict", body=b" " * 80 * 2**20)
    answer = connection.getresponse()
    assert answer.status == 413
    assert "larger than 16777216 bytes" in json.load(answer)["error"]
    connection.close()


def test_body_without_declared_length_is_bounded(server: Server) -> None:
    address = server.address.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=30)
    parts = (b" " * 2**20 for _ in range(17))  # sent in chunks; 16 are allowed
    connection.request("POST", "/v1/models/shop:predict", body=parts)
    answer = connection.getresponse()
    assert answer.status == 413
    assert "larger than 16777216 bytes" in json.load(answer)["error"]
    connection.close()
    assert len(Client(server.address, "shop").predict([ROW])) == 1


def test_sigterm_lets_running_requests_end(full_models: Path) -> None:
    body = json.dumps({"instances": ROWS}).encode()
    with running(full_models) as started:
        client = Client(started.address, "shop")
        client.wait_until_available()
        host, port = started.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            head = (
                "POST /v1/models/shop:predict HTTP/1.1\r\nHost: x\r\n"
                f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
            )
            connection.sendall(head.encode())
            assert b"100" in connection.recv(100)  # The server waits for the body.
            started.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(RequestError):  # No new connection is taken.
                client.status()
            connection.sendall(body)
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert len(json.loads(answer.split(b"\r\n\r\n")[1])["predictions"]) == 5
        status, stderr = started.end()
        assert status == 0
        assert stderr.splitlines()[-1] == "stopped"


def test_damaged_version_ends_the_server(full_models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(full_models / "1", tmp_path / "4")
    data = folder / "variables/variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ExportError, match="4 is damaged and cannot be loaded"):
        serve(tmp_path, name="shop", listener=listen("127.0.0.1", 0), limits=Limits())


def test_port_in_use(full_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["serve", str(full_models), "--name", "shop", "--port", port]
        assert main(arguments) == 2
    message = capsys.readouterr().err
    assert f"error: cannot listen on 127.0.0.1:{port}" in message
    assert "Choose another --port" in message


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no.such.", 0)])
def test_addresses_that_are_none(host: str, port: int) -> None:
    with pytest.raises(PairstreamError, match="cannot listen on"):
        listen(host, port)
