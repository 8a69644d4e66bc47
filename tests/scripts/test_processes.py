"""Processes that run at once, and end together, whatever happens."""

import os
import signal
import subprocess
import sys
import time

import pytest

from scripts.processes import Ended, Processes, wait_for

PATIENT = "import time; print('here', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print('here', flush=True); time.sleep(60)"
)


def python(program):
    return [sys.executable, "-c", program]


def printed(processes, name):
    return lambda: processes.log(name).read_text() == "here\n"


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_all_end_with_the_block(tmp_path):
    with Processes(tmp_path / "logs", grace=0.2) as processes:
        processes.start("patient", python(PATIENT))
        processes.start("stubborn", python(STUBBORN))
        for name in ("patient", "stubborn"):
            wait_for(printed(processes, name), processes, seconds=20, what=name)
        processes.check()
        assert processes.running("patient")
    assert processes.ended == {"patient": -signal.SIGTERM, "stubborn": -signal.SIGKILL}


def test_the_one_that_died_is_named_with_its_last_lines(tmp_path):
    many = "for i in range(50): print('line', i)\nimport sys; sys.exit(3)"
    with pytest.raises(Ended) as caught, Processes(tmp_path, grace=5) as processes:
        processes.start("patient", python(PATIENT))
        processes.start("broken", python(many))
        wait_for(lambda: False, processes, seconds=20, what="miracle")
    text = str(caught.value)
    assert text.startswith("broken has ended with status 3; the end of ")
    assert "line 49" in text and "line 30" in text and "line 29" not in text
    assert processes.ended["patient"] == -signal.SIGTERM
    with pytest.raises(Ended, match="killed has ended by SIGKILL"):
        with Processes(tmp_path) as processes:
            processes.start("killed", python("import os; os.kill(os.getpid(), 9)"))
            wait_for(lambda: False, processes, seconds=20, what="miracle")


def test_one_that_is_done_is_no_longer_looked_after(tmp_path):
    with Processes(tmp_path) as processes:
        processes.start("short", python("pass"), may_end=True)
        while processes.running("short"):
            time.sleep(0.01)
        processes.check()
        assert processes.ended == {"short": 0}
        processes.start("wrong", python("1 / 0"), may_end=True)
        with pytest.raises(
            Ended, match=r"(?s)wrong has ended with status 1.*ZeroDivision"
        ):
            wait_for(lambda: False, processes, seconds=20, what="sign")
    with Processes(tmp_path) as processes:
        with pytest.raises(Ended, match="there is no sign after 0 s"):
            wait_for(lambda: False, processes, seconds=0, what="sign")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_none_outlives_this_process(tmp_path, project_root, number):
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from scripts.processes import Processes, interrupt_on_terminate\n"
        "interrupt_on_terminate()\n"
        "with Processes(Path(sys.argv[1])) as processes:\n"
        "    processes.start('child', [sys.executable, '-c',"
        " 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'])\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=project_root,
        stderr=subprocess.DEVNULL,
    )
    log = tmp_path / "child.log"
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child = int(log.read_text())
    os.kill(parent.pid, number)
    parent.wait(20)
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)
