"""`python -m preprocessing stream`, and side tables in it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from configs import dump_job
from configs.stream_sets import stream_sets
from preprocessing.cli import main
from preprocessing.run import preprocess
from tests.preprocessing.stream.making_streams import (
    START,
    Feed,
    random_arrivals,
    read_all,
    rows_of,
    rows_of_stream,
    stream_job,
)
from tests.preprocessing.test_side_tables import job_with_tables, write_tables


def test_once_and_until_idle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = stream_job(tmp_path, max_records=100, keep_sets=2)
    path = tmp_path / "job.yaml"
    path.write_text(dump_job(job))
    feed = Feed(tmp_path, random_arrivals(9))
    feed.until(START + 86_400_000)
    assert main(["stream", str(path), "--once"]) == 0
    captured = capsys.readouterr()
    assert "batch 0: 100 records in" in captured.err and "made 1 sets" in captured.out
    assert "unread" in captured.err and "watermark 20" in captured.err
    feed.until(START + 2 * 86_400_000)
    assert main(["stream", str(path), "--until-idle"]) == 0
    assert "unread 0 bytes" in capsys.readouterr().err
    sets = stream_sets(tmp_path / "examples")
    assert len(sets) == 2 and min(sets) > 0
    assert main(["stream", str(path), "--until-idle"]) == 0
    assert "made 0 sets" in capsys.readouterr().out


def test_a_job_without_the_section_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(dump_job(job_with_tables(tmp_path)))
    assert main(["stream", str(path)]) == 2
    assert "the job has no stream.join" in capsys.readouterr().err


@pytest.mark.slow
def test_sigterm_ends_a_live_stream_after_its_micro_batch(tmp_path: Path) -> None:
    job = stream_job(tmp_path, interval="500ms")
    path = tmp_path / "job.yaml"
    path.write_text(dump_job(job))
    feed = Feed(tmp_path, random_arrivals(10))
    feed.until(START + 40_000_000)
    command = [sys.executable, "-m", "preprocessing", "stream", str(path)]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=quiet)
    try:
        assert process.stderr is not None
        assert any("batch 0:" in line for line in process.stderr)
        feed.until(float("inf"))
        assert any("batch 1:" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    whole = stream_job(tmp_path, f"data.examples={tmp_path}/whole")
    preprocess(whole)
    assert rows_of_stream(job) == rows_of(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("broadcast", [0, 10**9])
def test_impressions_meet_side_tables(tmp_path: Path, broadcast: int) -> None:
    write_tables(tmp_path, 3)
    join = f"{{state: {tmp_path}/state, lateness: 1200ms, max_records: 60}}"
    job = job_with_tables(
        tmp_path,
        f"preprocessing.broadcast_bytes={broadcast}",
        f"stream.join={join}",
    )
    made = read_all(job)
    assert len(made) > 1
    whole = job.data.model_copy(update={"examples": str(tmp_path / "whole")})
    preprocess(job.model_copy(update={"data": whole}))
    assert rows_of_stream(job) == rows_of(tmp_path / "whole")
    assert sum(rows_of_stream(job).values()) > 50
