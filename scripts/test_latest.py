"""Runs the tests on a newer stack, and compares the failures with the known ones.

`python scripts/test_latest.py -m "not slow"` hands its arguments to pytest. Known
failures are listed in tests/known-failures-latest.txt, one test a line with the reason
after `#`. A failure that is not listed fails the run, and so does a listed test that
passes or is gone: none is hidden, none outlives its reason.
"""

import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KNOWN = ROOT / "tests" / "known-failures-latest.txt"


def known_failures(text: str) -> set[str]:
    """Returns the tests named in the list, comments left out."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {line for line in lines if line}


def outcomes(report: Path) -> tuple[set[str], set[str]]:
    """Returns the failed and the passed tests of a JUnit report."""
    failed, passed = set(), set()
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314
        name = f"{case.get('classname')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
        elif case.find("skipped") is None:
            passed.add(name)
    return failed, passed


def main(arguments: list[str]) -> int:
    """Runs pytest and returns the exit status of the comparison."""
    for name in ("tensorflow", "keras", "numpy", "apache-beam"):
        print(f"{name} {version(name)}")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = pytest.main([*arguments, f"--junit-xml={report}"])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return int(code)
        failed, passed = outcomes(report)
    known = known_failures(KNOWN.read_text(encoding="utf-8"))
    new = sorted(failed - known)
    mended = sorted(known - failed)
    for name in new:
        print(f"not a known failure: {name}")
    for name in mended:
        state = "passes" if name in passed else "did not run"
        print(f"listed as a known failure, but {state}: {name}")
    print(f"{len(failed & known)} known failures, {len(new)} new, {len(mended)} mended")
    return 1 if new or mended else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
