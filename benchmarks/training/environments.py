"""Makes an environment for each rival, outside the project's own.

Versions are named, so that figures stay comparable. PyPI's PyTorch for Linux is the one
with CUDA libraries: it runs on the CPU without any of them, by the same kernels (MKL,
oneDNN) as the one without, but takes 6 GB of disk. DeepCTR's layers do not build on
Keras 3; on Keras 2 (tf-keras) they do, with the newest TensorFlow.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["CACHE", "REQUIREMENTS", "python_of"]

CACHE = Path(
    os.environ.get("PAIRSTREAM_BENCHMARKS", "~/.cache/pairstream-benchmarks")
).expanduser()
"""Environments and rows lie here; `PAIRSTREAM_BENCHMARKS` names another folder."""

REQUIREMENTS: dict[str, list[str]] = {
    "fuxictr": ["fuxictr==2.3.10", "torch==2.15.0"],
    "deepctr": ["deepctr==0.9.4", "tensorflow-cpu==2.21.0", "tf-keras==2.21.0"],
}
"""Packages by environment; a system without any runs in the project's own."""


def python_of(environment: str | None) -> str:
    """Returns the interpreter of an environment; makes it if it isn't there."""
    if environment is None:
        return sys.executable
    folder = CACHE / environment
    wanted = "\n".join(REQUIREMENTS[environment])
    done = folder / "requirements.txt"
    if not done.exists() or done.read_text() != wanted:
        print(f"making {folder} with {', '.join(REQUIREMENTS[environment])}")
        _make(folder, REQUIREMENTS[environment])
        done.write_text(wanted)
    return str(folder / "bin/python")


def _make(folder: Path, requirements: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = str(folder / "bin/python")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [python, "-m", "pip", "install", "--quiet"]
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is not None:  # the same packages, in a fraction of the time
        install = [uv, "pip", "install", "--quiet", "--python", python]
    subprocess.run([*install, *requirements], check=True)
