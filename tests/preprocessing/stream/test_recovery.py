"""A join that is stopped anywhere goes on as if nothing had been."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configs import DataError
from configs.stream_sets import stream_sets
from preprocessing.stream.driver import StreamingJoin
from preprocessing.stream.state import State
from tests.preprocessing.stream.making_streams import (
    START,
    Feed,
    files_under,
    random_arrivals,
    read_all,
    stream_job,
)

RECORDS = 50


class Stopped(BaseException):
    """Stands for a process that is gone."""


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Stops at the n-th time that a file or folder gets its final name."""
    left = [0]
    for name in ("replace", "rename"):
        real = getattr(os, name)

        def counted(*paths: Any, real: Any = real) -> None:
            if left[0] == 1:
                left[0] = 0
                raise Stopped
            left[0] -= left[0] > 0
            real(*paths)

        monkeypatch.setattr(os, name, counted)

    def after(moves: int) -> None:
        left[0] = moves

    yield after


def fed(root: Path) -> Feed:
    feed = Feed(root, random_arrivals(8))
    feed.until(START + 86_400_000)
    return feed


def outputs(root: Path) -> dict[str, bytes]:
    found = files_under(root / "examples", root / "state")
    # The clock in it is not of the logs.
    return {name: found[name] for name in found if not name.endswith("intent.json")}


@pytest.mark.slow
@pytest.mark.parametrize("observe", [None, "30m"])
def test_stopped_at_every_move_of_a_file(
    tmp_path: Path, stopping: Callable[[int], None], observe: str | None
) -> None:
    job = stream_job(tmp_path, max_records=RECORDS, observe=observe)
    fed(tmp_path)
    read_all(job)
    expected = outputs(tmp_path)
    assert len(stream_sets(job.data.examples)) >= 3
    for name in ("examples", "state"):
        shutil.rmtree(tmp_path / name)
    stopped = 0
    for moves in (1, 9, 60, 97, 140, 190, 255, 300, 0):
        stopping(moves)
        try:
            read_all(job)
        except Stopped:
            stopped += 1
    assert outputs(tmp_path) == expected
    assert stopped >= 3


def test_a_set_that_was_published_and_not_committed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = stream_job(tmp_path)
    fed(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(State, "write_commit", _stop)
        with pytest.raises(Stopped):
            read_all(job)
    published = tmp_path / "examples/00000000"
    before = files_under(published)
    assert "manifest.json" in str(before)
    made = read_all(job)
    assert len(made) == 1 and files_under(published) == before
    assert not (tmp_path / "state/work").exists()
    # What arrived before it went on is left to the next one; what changed is refused.
    (tmp_path / "state/commit.json").unlink()
    log = tmp_path / "logs/clicks.jsonl"
    log.write_text(log.read_text().replace("c1", "c2"))
    with pytest.raises(DataError, match="is not what its micro-batch gives"):
        read_all(job)


def _stop(*_: Any) -> None:
    raise Stopped


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    fed(tmp_path)
    read_all(job)
    with pytest.raises(DataError, match=r"of another job \(data contract differ"):
        read_all(stream_job(tmp_path, "labels.click.window=5h"))
    other = stream_job(tmp_path, state=f"{tmp_path}/other")
    with pytest.raises(DataError, match="nothing of how it goes on"):
        read_all(other)
    with State(tmp_path / "state").locked():
        with pytest.raises(DataError, match="in use by another process"):
            read_all(job)
    part = next((tmp_path / "state/settled").rglob("*.arrow"))
    part.write_bytes(part.read_bytes() + b"x")
    with pytest.raises(DataError, match="was changed: the state of the stream"):
        read_all(job)
    part.unlink()
    with pytest.raises(DataError, match="is missing: the state of the stream"):
        read_all(job)
    (tmp_path / "state/commit.json").write_text("{")
    with pytest.raises(DataError, match=r"commit.json cannot be read"):
        read_all(job)


def test_logs_only_grow(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    feed = fed(tmp_path)
    read_all(job)
    feed.until(START + 2 * 86_400_000)
    log = tmp_path / "logs/clicks.jsonl"
    text = log.read_text()
    log.write_text(text[:100])
    with pytest.raises(DataError, match="files of a stream only grow"):
        read_all(job)
    log.write_text(text)
    state = State(tmp_path / "state")
    stream = StreamingJoin(job, state)
    shutil.move(log, tmp_path / "away")
    frozen = json.loads((tmp_path / "state/intent.json").read_text())["frozen"]
    assert str(log) in frozen["ranges"]
    (tmp_path / "state/commit.json").unlink()
    shutil.rmtree(tmp_path / "examples")
    stream = StreamingJoin(job, state)
    with pytest.raises(DataError, match=r"clicks.jsonl is gone, and a micro-batch"):
        stream.recover()


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.streaming.join_kills"]
    command += ["--kills", "6", "--impressions", "800", "--records", "250"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of them twice" in done.stdout
