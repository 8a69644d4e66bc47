"""What the tests from logs to served probabilities share."""

import pytest

from tests.serving.verifying import verify_here


@pytest.fixture
def verified_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports are verified in this process, which saves the start of another one."""
    verify_here(monkeypatch)
