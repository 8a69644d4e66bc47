"""The trainer's command line."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_nothing_imports_tensorflow_before_it_is_told_how_much_to_log():
    # Its C++ part reads TF_CPP_MIN_LOG_LEVEL once, when it is imported.
    script = (
        "import sys, trainer.__main__; print([n for n in sys.modules if n in"
        " ('tensorflow', 'keras', 'tensorflow_io')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"
