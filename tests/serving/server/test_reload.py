"""Versions that come and go while the server answers: real SavedModels, real load."""

import http.client
import json
import os
import shutil
import signal
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import ExportError
from serving.choice import Choice, write_choice
from serving.client import Client
from serving.export_version import write_version
from serving.server.reload import Reloader
from serving.server.state import ServedModel
from serving.specification import specification_of
from tests.serving.conftest import Server, asking, running
from tests.serving.models import SINGLE_JOB, inference_model, job_of

ROW = {"word": "a"}


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, float]]:
    """Two models, alike but for their weights, and what they answer to `ROW`."""
    from serving.saved_model import load_model

    job = job_of(SINGLE_JOB)
    specification = specification_of(job)
    made = []
    for bias in (-1.0, 1.0):
        model = inference_model(job)
        for weight in model.trainable_weights:
            weight.assign(np.full(weight.shape, bias, np.float32))
        folder = tmp_path_factory.mktemp("twin")
        write_version(
            folder,
            job=job,
            model=model,
            specification=specification,
            rows=[ROW],
            warmup_rows=0,
        )
        answers = load_model(folder).predict({"word": np.array([b"a"], object)})
        made.append((folder, float(answers["click"][0])))
    assert abs(made[0][1] - made[1][1]) > 0.1
    return made


def publish(twin: tuple[Path, float], models: Path, number: int) -> None:
    """Makes a version appear at once, as an export does."""
    models.mkdir(exist_ok=True)
    partial = models / f".{number}.partial-0"
    shutil.copytree(twin[0], partial)
    partial.rename(models / str(number))


def states(status: dict[str, Any]) -> dict[int, str]:
    return {int(v["version"]): v["state"] for v in status["model_version_status"]}


def until(reached: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.01)


class Load:
    """Clients that ask without a pause, each over one connection, and what they got."""

    def __init__(self, address: str, expected: Callable[[int], float]) -> None:
        self.address = address.removeprefix("http://")
        self.expected = expected
        self.answers: dict[int, int] = {}
        self.failures: list[str] = []
        self.slowest = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        body = json.dumps({"instances": [ROW] * 3}).encode()
        while not self._ended.is_set():
            started = time.monotonic()
            try:
                connection.request("POST", "/v1/models/shop:predict", body=body)
                answer = connection.getresponse()
                document = json.load(answer)
                number = int(answer.headers["X-Model-Version"])
                wanted = [pytest.approx(self.expected(number), abs=1e-6)] * 3
                good = answer.status == 200 and document["predictions"] == wanted
            except Exception as error:
                good, document, number = False, error, -1
            with self._lock:
                self.slowest = max(self.slowest, time.monotonic() - started)
                self.answers[number] = self.answers.get(number, 0) + 1
                if not good:
                    self.failures.append(f"{number}: {document!r}")


def memory_of(server: Server) -> float:
    """Resident MiB."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.slow
def test_reloads_under_load(twins: Any, tmp_path: Path) -> None:
    """25 versions while four clients ask: no failure, no mixture, no memory."""
    models = tmp_path / "models"
    publish(twins[1], models, 1)
    with running(models, "--poll-seconds", "0.02") as server:
        client = Client(server.address, "shop")
        client.wait_until_available()
        with Load(server.address, lambda number: twins[number % 2][1]) as load:
            for number in range(2, 27):
                publish(twins[number % 2], models, number)
                until(lambda n=number: load.answers.get(n, 0) >= 5)
                if number == 6:
                    early = memory_of(server)
            until(lambda: states(client.status()).get(25) == "END")
            late = memory_of(server)
        assert load.failures == []
        assert set(load.answers) == set(range(1, 27))
        # A model stays for as long as its requests, and no longer.
        assert late - early < 12.0, (early, late)
        found = states(client.status())
        assert found.pop(26) == "AVAILABLE"
        assert set(found.values()) == {"END"} and len(found) <= 9
        print(f"{sum(load.answers.values())} requests, slowest {load.slowest:.3f} s")


@pytest.mark.slow
def test_a_server_follows_versions_and_choices(twins: Any, tmp_path: Path) -> None:
    models = tmp_path / "models"
    with running(models, "--poll-seconds", "0.02", "--wait") as server:
        client = Client(server.address, "shop")
        until(lambda: answers(client, 503))  # Nothing to serve yet.
        publish(twins[1], models, 1)
        client.wait_until_available()
        with Load(server.address, lambda number: twins[number % 2][1]) as load:
            publish(twins[0], models, 2)
            until(lambda: load.answers.get(2, 0) > 5)
            write_choice(models, Choice(version=1, withdrawn=[2], reason="a test"))
            until(lambda: states(client.status()) == {1: "AVAILABLE", 2: "END"})
            (found,) = client.predict([ROW], version=1)
            assert found == pytest.approx(twins[1][1], abs=1e-6)
            with pytest.raises(Exception, match=r"404.*Specific\(shop, 2\)"):
                client.predict([ROW], version=2)
            shutil.copytree(models / "2", models / "3")
            (models / "3/variables/variables.index").unlink()
            write_choice(models, Choice(withdrawn=[2]))
            until(lambda: states(client.status()).get(3) == "END")
            assert states(client.status())[1] == "AVAILABLE"
            status = client.status()["model_version_status"][0]["status"]
            assert "variables.index is missing" in status["error_message"]
            publish(twins[0], models, 4)
            until(lambda: states(client.status()).get(4) == "AVAILABLE")
        assert load.failures == []
        server.process.send_signal(signal.SIGTERM)
        status_code, stderr = server.end()
        assert status_code == 0
        assert "version 1 stays" in stderr and "shop 4 is AVAILABLE; 1 ends" in stderr


def answers(client: Client, status: int) -> bool:
    try:
        client.metadata()
    except Exception as error:
        return f"answers {status}" in str(error)
    return False


def test_switching_in_one_process(twins: Any, tmp_path: Path) -> None:
    served = ServedModel("shop")
    reloader = Reloader(tmp_path, served, print)
    ask = asking(served)
    assert ask("GET", "/readyz")[0] == 503
    publish(twins[1], tmp_path, 1)
    reloader.first()
    assert ask("GET", "/readyz") == (200, {"ready": True, "state": "AVAILABLE"})
    body = {"instances": [ROW]}
    assert served.current is not None
    first = weakref.ref(served.current.model)
    for number in (1, 2):
        publish(twins[number % 2], tmp_path, number) if number > 1 else None
        reloader.look()
        assert (first() is None) == (number == 2), "its memory is released"
        status, answer = ask("POST", "/v1/models/shop:predict", body)
        assert status == 200
        assert answer["predictions"] == [pytest.approx(twins[number % 2][1], abs=1e-6)]
        path = f"/v1/models/shop/versions/{number}/metadata"
        assert ask("GET", path)[1]["model_spec"]["version"] == str(number)
    assert states(ask("GET", "/v1/models/shop")[1]) == {2: "AVAILABLE", 1: "END"}
    assert states(ask("GET", "/v1/models/shop/versions/1")[1]) == {1: "END"}
    status, answer = ask("POST", "/v1/models/shop/versions/1:predict", body)
    assert status == 404
    assert "Specific(shop, 1); this server has 'shop' version 2" in answer["error"]
    assert ask("GET", "/v1/models/shop/versions/9")[0] == 404
    damaged = twins[0][0] / "saved_model.pb"
    shutil.copytree(twins[0][0], tmp_path / "3")
    (tmp_path / "3/saved_model.pb").write_bytes(damaged.read_bytes()[:50])
    reloader.look()
    assert states(ask("GET", "/v1/models/shop")[1])[3] == "END"
    assert ask("POST", "/v1/models/shop:predict", body)[0] == 200


class Loads:
    """Stands for the loading of versions; those in `broken` fail."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.tried: list[str] = []

    def __call__(self, folder: Path) -> Any:
        self.tried.append(folder.name)
        if folder.name in self.broken:
            raise ExportError(f"{folder.name} is broken")
        return object()


def version_of(models: Path, number: int) -> None:
    (models / str(number)).mkdir(parents=True)
    (models / str(number) / "saved_model.pb").write_text(f"of {number}")


@dataclass
class Followed:
    """A reloader of versions whose loading is pretended, version 1 there already."""

    models: Path
    served: ServedModel
    loads: Loads = field(default_factory=Loads)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        version_of(self.models, 1)
        self.reloader = Reloader(self.models, self.served, self.said.append, self.loads)

    def number(self) -> int:
        assert self.served.current is not None
        return self.served.current.number


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path, ServedModel("shop"))


def test_the_newest_that_loads_is_served(followed: Followed) -> None:
    version_of(followed.models, 2)
    version_of(followed.models, 3)
    followed.loads.broken = {"3"}
    followed.reloader.first()
    assert followed.number() == 2
    followed.reloader.look()
    assert followed.loads.tried == ["3", "2"], "what failed is left alone for a minute"
    version_of(followed.models, 4)
    followed.reloader.look()
    assert followed.number() == 4
    assert states(followed.served.status()) == {4: "AVAILABLE", 3: "END", 2: "END"}
    shutil.rmtree(followed.models)
    followed.reloader.look()
    assert followed.number() == 4, "what is loaded outlives its folder"


def test_a_failed_version_is_tried_again_later(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed.reloader.first()
    version_of(followed.models, 2)
    followed.loads.broken = {"2"}
    monkeypatch.setattr("serving.server.reload._ATTEMPT_SECONDS", 0.0)
    for _ in range(10):
        followed.reloader.look()
    assert followed.loads.tried == ["1"] + ["2"] * 5
    assert followed.said[-1] == "warning: 2 is broken (version 1 stays)"
    shutil.rmtree(followed.models / "2")
    version_of(followed.models, 2)  # Made again: another one.
    os.utime(followed.models / "2/saved_model.pb", ns=(5, 5))
    followed.loads.broken = set()
    followed.reloader.look()
    assert followed.number() == 2


def test_a_pin_has_no_substitute(followed: Followed) -> None:
    version_of(followed.models, 2)
    write_choice(followed.models, Choice(version=7, reason="of Monday"))
    with pytest.raises(ExportError, match=r"no complete version 7, .*\(of Monday\)"):
        followed.reloader.first()
    write_choice(followed.models, Choice(version=1))
    followed.reloader.first()
    assert followed.number() == 1
    write_choice(followed.models, Choice(version=7))
    followed.reloader.look()
    followed.reloader.look()
    assert followed.number() == 1
    assert sum("no complete version 7" in line for line in followed.said) == 1
    (followed.models / "serving.json").write_text("{")
    followed.reloader.look()
    assert followed.number() == 1
    assert "cannot be read" in followed.said[-1]
    (followed.models / "serving.json").unlink()
    followed.reloader.look()
    assert followed.number() == 2


def test_all_withdrawn_is_an_error(followed: Followed) -> None:
    write_choice(followed.models, Choice(withdrawn=[1]))
    with pytest.raises(ExportError, match=r"all versions .* were withdrawn"):
        followed.reloader.first()


def test_an_old_version_stays_until_its_requests_end(followed: Followed) -> None:
    followed.reloader.first()
    version_of(followed.models, 2)
    with followed.served.borrowed(None) as borrowed:
        switching = threading.Thread(target=followed.reloader.look)
        switching.start()
        until(lambda: followed.number() == 2)
        assert borrowed.number == 1 and borrowed.model is not None
        assert borrowed.state == "UNLOADING"
        with followed.served.borrowed(1) as other:
            assert other is None, "it takes no further requests"
    switching.join()
    assert borrowed.model is None and borrowed.state == "END"
