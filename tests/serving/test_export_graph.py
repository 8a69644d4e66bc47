"""Nothing of training gets through: variables and ops of a SavedModel are checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from configs.errors import ExportError
from serving.export_graph import check_graph, check_variables
from serving.export_signature import save_model, weights_by_name
from serving.specification import specification_of
from tests.serving.models import FULL_JOB, SINGLE_JOB, inference_model, job_of

JOB = job_of(SINGLE_JOB)


class Spoiled:
    """An inference model with one more thing in its graph."""

    def __init__(self, more: Callable[[tf.Tensor], tf.Tensor]) -> None:
        self.model = inference_model(JOB)
        self.weights = self.model.weights
        self.more = more

    def __call__(self, features: Any, training: bool) -> dict[str, tf.Tensor]:
        logits = self.model(features, training=training)
        return {task: self.more(logit) for task, logit in logits.items()}


def save(folder: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "serving.export_signature.weights_by_name", lambda m: weights_by_name(m.model)
    )
    save_model(folder, JOB, model, specification_of(JOB))


def test_clean_graph_passes(full_models: Path, single_models: Path) -> None:
    for models, text in ((full_models, FULL_JOB), (single_models, SINGLE_JOB)):
        job = job_of(text)
        check_graph(models / "1", job)
        check_variables(models / "1", weights_by_name(inference_model(job)), job)


def named(name: str) -> Callable[[tf.Tensor], tf.Tensor]:
    def more(logit: tf.Tensor) -> tf.Tensor:
        with tf.name_scope(name):
            return logit + 1.0

    return more


@pytest.mark.parametrize("name", ["uim", "nip_1", "auxiliary", "loss"])
def test_names_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    save(tmp_path, Spoiled(named(name)), monkeypatch)
    with pytest.raises(ExportError, match=f"{name}.* belongs to training"):
        check_graph(tmp_path, JOB)


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        (lambda x: tf.nn.dropout(x, 0.5), "RandomUniform"),
        (lambda x: tf.random.stateless_normal(tf.shape(x), [1, 2]) + x, "Random"),
    ],
)
def test_ops_of_training(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: Callable[[tf.Tensor], tf.Tensor],
    kind: str,
) -> None:
    save(tmp_path, Spoiled(more), monkeypatch)
    with pytest.raises(ExportError, match=f"{kind}.* belongs to training"):
        check_graph(tmp_path, JOB)


def test_a_users_name_is_no_training_word(tmp_path: Path) -> None:
    job = job_of(SINGLE_JOB.replace("word:", "loss:"))
    save_model(tmp_path, job, inference_model(job), specification_of(job))
    check_graph(tmp_path, job)


def test_more_or_fewer_variables(single_models: Path) -> None:
    weights = weights_by_name(inference_model(JOB))
    more = {**weights, "another": tf.Variable([1.0])}
    with pytest.raises(ExportError, match=r"only in the model: \['another'\]"):
        check_variables(single_models / "1", more, JOB)
    first = next(iter(weights))
    fewer = {name: weight for name, weight in weights.items() if name != first}
    with pytest.raises(ExportError, match="only in the export"):
        check_variables(single_models / "1", fewer, JOB)
    weights[first].assign_add(tf.ones_like(weights[first]) * 1e-6)
    with pytest.raises(ExportError, match="differs"):
        check_variables(single_models / "1", weights, JOB)
