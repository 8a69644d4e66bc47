"""Reruns the experiment of a paper: the commands in the first comment of its job file.

    python scripts/rerun_paper.py criteo_x1 DATA [--overwrite] [--set key=value ...]

DATA is the folder with the data set's files (or the file, where it is one). The other
options go to the commands that know them. Logs, examples and models lie under `data/`.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
JOBS = ROOT / "configs" / "paper"


def main(arguments: Sequence[str]) -> int:
    """Runs the commands of one job; stops at the first that fails."""
    names = sorted(path.stem for path in JOBS.glob("*.yaml"))
    if len(arguments) < 2 or arguments[0] not in names:
        print(f"{__doc__}\nJobs: {', '.join(names)}", file=sys.stderr)
        return 2
    name, data, *options = arguments
    for words in commands_of(JOBS / f"{name}.yaml", data, options):
        print("$ python", shlex.join(words), flush=True)
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path}
        ended = subprocess.run([sys.executable, *words], env=environment)
        if ended.returncode:
            return ended.returncode
    return 0


def commands_of(
    job: Path, data: str, options: Sequence[str] = ()
) -> Iterator[list[str]]:
    """Yields what follows `python` in each command in a job file's first comment."""
    comment = re.match(r"(#.*\n)*", job.read_text(encoding="utf-8")).group()
    overrides = [option for option in options if option != "--overwrite"]
    for line in comment.replace("\\\n#", "").splitlines():
        if not line.startswith("# python -m "):
            continue
        words = [w.replace("$DATA", data) for w in shlex.split(line)[2:]]
        words = [str(ROOT / w) if w.startswith("configs/") else w for w in words]
        if "--overwrite" in options and words[2] != "evaluate":
            words.append("--overwrite")
        yield words if words[2] == "convert" else [*words, *overrides]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
