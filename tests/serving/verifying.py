"""Verifies exports in the test's process, which saves the start of another one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from configs.job import Job
from serving import export_verify


@contextmanager
def _verifying(
    folder: Path, job: Job, checkpoint: str, examples: str | None
) -> Iterator[Callable[[], dict[str, Any]]]:
    yield lambda: export_verify.verify(
        folder,
        run=job.data.run,
        checkpoint=checkpoint,
        examples=examples,
        tolerance=job.export.tolerance,
    )


def verify_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.export._verifying", _verifying)
