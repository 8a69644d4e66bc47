"""What is refused of parts from outside the project."""

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import PositiveInt

from configs.errors import JobError
from configs.imports import ENVIRONMENT, import_modules
from configs.own import OwnBackbone, OwnLoss, implementation_of, register
from configs.section import Section
from tests.trainer.model_jobs import small_job
from trainer.backbones.registry import build_backbone
from trainer.losses.base import Loss
from trainer.task_losses import TaskLosses

HERE = __name__


class TowerSettings(OwnBackbone):
    """A tower."""

    units: PositiveInt = 3


@register(TowerSettings)
class Tower:
    """Says not how wide it is."""

    def __init__(self, config: Any, layout: Any, *, seed: int) -> None:
        del config, layout, seed


class PairSettings(OwnLoss):
    """Of two logits."""


@register(PairSettings)
class Pair(Loss):
    """Of two logits."""

    two_logits = True


def test_a_backbone_has_a_width() -> None:
    job = small_job(f"model.backbone={{name: '{HERE}:Tower', units: 4}}")
    assert implementation_of(job.model.backbone) is Tower
    layout: Any = None
    with pytest.raises(JobError, match=r":Tower has no 'width': set self\.width"):
        build_backbone(job.model.backbone, layout, seed=0)


def test_a_loss_of_two_logits_needs_that_head() -> None:
    losses = f"[{{name: '{HERE}:Pair'}}]"
    head: Any = None
    for kind in ("single_logit", "two_logits"):
        job = small_job(f"model.tasks.click={{head: {kind}, losses: {losses}}}")
        if kind == "two_logits":
            TaskLosses(job, "click", head)
            continue
        with pytest.raises(JobError, match=r"takes two logits: set 'head: two_logits'"):
            TaskLosses(job, "click", head)


def test_what_is_registered_says_what_it_is_and_can_be_found_again() -> None:
    with pytest.raises(TypeError, match="derive it from OwnBackbone, OwnLoss"):
        register(Section)

    class Inside:
        pass

    with pytest.raises(TypeError, match="where no import path leads"):
        register(TowerSettings)(Inside)


def test_modules_are_imported_once_and_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_of_a_test.py").write_text("import module_that_is_not_there")
    (tmp_path / "another_of_a_test.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(ENVIRONMENT, "json, another_of_a_test")
    import_modules(["another_of_a_test"])
    assert "another_of_a_test" in sys.modules
    import_modules(["json.decoder"])
    assert sys.modules["os"].environ[ENVIRONMENT] == (
        "json,another_of_a_test,json.decoder"
    )
    # What a module of the user's misses is a defect there: its traceback says where.
    with pytest.raises(ModuleNotFoundError, match="module_that_is_not_there"):
        import_modules(["module_of_a_test"])
    with pytest.raises(JobError, match=r"there is no module 'json\.nothing'"):
        import_modules(["json.nothing.more"])
    for name in ("my package", "os;system", "../towers", ".towers", ""):
        with pytest.raises(JobError, match="expected the name of a module"):
            import_modules([name])
