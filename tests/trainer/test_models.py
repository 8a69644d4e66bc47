"""`python -m trainer models` names all that there is, and loads nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

from configs.training import DenseOptimizer
from trainer.auxiliary.registry import AUXILIARY
from trainer.backbones.experts import EXPERTS
from trainer.backbones.registry import BACKBONES
from trainer.heads import HEADS
from trainer.losses.registry import LOSSES
from trainer.models import models
from trainer.multi_task.registry import MULTI_TASK
from trainer.optimizers.registry import sparse_optimizer

ROOT = Path(__file__).resolve().parents[2]


def test_every_name_of_the_registries_has_a_line() -> None:
    # Tests of parts from outside may have registered some in this process.
    listed = {
        place.partition(",")[0]: {n: s for n, s in entries.items() if ":" not in n}
        for place, entries in models().items()
    }
    assert set(listed["model.backbone"]) == set(BACKBONES)
    assert set(listed["model.backbone.sets.N.experts"]) == set(EXPERTS)
    assert set(listed["model.multi_task"]) == set(MULTI_TASK)
    assert set(listed["model.tasks.TASK.head"]) == set(HEADS)
    assert set(listed["model.tasks.TASK.losses"]) == set(LOSSES)
    assert set(listed["model.auxiliary"]) == set(AUXILIARY)
    dense = get_args(DenseOptimizer.model_fields["name"].annotation)
    assert set(listed["training.optimizer.dense"]) == set(dense)
    registry = sys.modules[sparse_optimizer.__module__]
    assert set(listed["training.optimizer.embeddings"]) == set(registry._CLASSES)
    for entries in listed.values():
        for name, sentence in entries.items():
            assert sentence.endswith(".") and len(sentence) > 10, name
            assert "\n" not in sentence and len(sentence) < 240, name


def test_first_sentences_are_whole() -> None:
    listed = models()
    assert listed["model.backbone"]["dcn_v2"] == (
        "DCN V2 (Wang et al. 2021): explicit crosses and an MLP."
    )
    heads = listed["model.tasks.TASK.head"]
    assert heads["single_logit"] == "One logit z, with p = sigmoid(z)."


def test_the_command_is_fast_because_it_loads_nothing_heavy() -> None:
    program = (
        "import json, sys; from trainer.cli import main; status = main(['models']);"
        "print(); print(json.dumps([status, *sorted(sys.modules)]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    status, *modules = json.loads(ended.stdout.splitlines()[-1])
    assert status == 0 and "  combined_pair " in ended.stdout
    assert not {"tensorflow", "keras", "numpy", "pyarrow"} & set(modules)
