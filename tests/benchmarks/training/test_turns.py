import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.training.turns import ANSWERS

ROOT = Path(__file__).parents[3]

WORKER = """
import time
from benchmarks.training.turns import Turns
turns = Turns({"library": "1"}, warm_up=2)
print("a progress bar")
while True:
    time.sleep(0.001)
    turns.step_done()
"""


def test_a_worker_answers_each_order_and_ends_with_its_input() -> None:
    orders = [{"seconds": 0.0, "steps": 5}, {"seconds": 0.05, "steps": 1}]
    reading, writing = os.pipe()
    with os.fdopen(reading) as answers:
        done = subprocess.run(
            [sys.executable, "-c", WORKER],
            input="".join(json.dumps(order) + "\n" for order in orders),
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), ANSWERS: str(writing)},
            pass_fds=(writing,),
        )
        os.close(writing)
        ready, first, second = map(json.loads, answers)
    assert ready == {"ready": True, "versions": {"library": "1"}}
    assert first["steps"] == 5
    assert second["seconds"] >= 0.05
    assert second["steps"] >= 1
    assert first["peak_mebibytes"] > 1.0
    assert "progress bar" in done.stdout
