"""What the tests from logs to served probabilities share."""

from pathlib import Path
from typing import Any

import pytest

from configs.job import Job
from serving import export_verify


@pytest.fixture
def verified_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports are verified in this process, which saves the start of another one."""

    def verify(folder: Path, job: Job, checkpoint: str, examples: str | None) -> Any:
        return export_verify.verify(
            folder,
            run=job.data.run,
            checkpoint=checkpoint,
            examples=examples,
            tolerance=job.export.tolerance,
        )

    monkeypatch.setattr("serving.export._verify", verify)
