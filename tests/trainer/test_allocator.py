"""What a step frees stays with the process, where the C library is glibc."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import resource
import numpy as np
from trainer.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(4_000_000, np.float64)  # 32 MB: mapped and unmapped by default
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
print(keep_freed_memory(), usual, faults())
"""


def run(**environment):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env={"PATH": "/usr/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    done_it, usual, kept = done.stdout.split()
    return done_it == "True", int(usual), int(kept)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_large_pieces_are_not_mapped_anew():
    done, usual, kept = run()
    assert done
    assert kept < usual / 4


def test_settings_of_the_environment_stay():
    assert not run(MALLOC_ARENA_MAX="2")[0]
