"""Two trainers cannot hold one run; a dead one holds nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from configs.errors import CheckpointError
from trainer.run_lock import run_lock

ROOT = Path(__file__).resolve().parents[2]

HOLD = """
import sys
from trainer.run_lock import run_lock
with run_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_is_told_of_the_first(tmp_path):
    run = tmp_path / "runs" / "one"
    with run_lock(run):
        with pytest.raises(CheckpointError, match=rf"process {os.getpid()} on host"):
            with run_lock(f"{run}/"):
                pass
        with run_lock(tmp_path / "runs" / "two"):
            pass
    with run_lock(run):
        pass
    assert not list((tmp_path / "runs").iterdir())


def test_a_killed_holder_holds_no_longer(tmp_path):
    run = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(CheckpointError, match=f"process {holder.pid} on"):
        with run_lock(run):
            pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=30)
    with run_lock(run):
        pass
