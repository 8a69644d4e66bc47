"""Every backbone with every head: losses, gradients, checkpoints, exports."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs.errors import JobError
from configs.job import Job
from serving.export_graph import check_graph, check_variables
from serving.export_signature import weights_by_name
from serving.saved_model import load_model, warm_model
from tests.serving.models import FULL_JOB, ROWS, inference_model, job_of, write_models
from tests.trainer.model_jobs import even_job, random_batch, statistics, vocabularies
from trainer.backbones.registry import BACKBONES
from trainer.checkpoint import restore, save
from trainer.heads import HEADS
from trainer.inference import InferenceModel, build_inference_model
from trainer.training_model import TrainingModel
from trainer.variables import named_variables

MORE = {
    "dcn_v2": ["structure: stacked", "rank: 2", "rank: 2, experts: 2, number_dim: 2"],
    "masknet": ["structure: parallel"],
}
"""Further forms of a backbone."""

REQUIRED = {
    "experts": "sets: [{experts: [{name: ipnn, hidden: [3]}]}, {dim: 8, experts:"
    " [{name: gwpfm}, {name: dcn_v2, hidden: [3]}]}]"
}
"""What a backbone cannot do without."""

FORMS = [
    (name, form)
    for name in BACKBONES
    for form in [REQUIRED.get(name), *MORE.get(name, [])]
]
EVERY = pytest.mark.parametrize(("name", "form"), FORMS)


def section(name: str, form: str | None) -> str:
    return f"{{name: {name}{', ' + form if form else ''}}}"


def small(name: str, form: str | None, head: str) -> Job:
    dim = 1 if name == "logistic_regression" else 4
    return even_job(section(name, form), dim, f"model.tasks.click.head={head}")


def built(job: Job, seed: int | None = None) -> InferenceModel:
    return build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies(), seed=seed
    )


@EVERY
@pytest.mark.parametrize("head", HEADS)
def test_trains_and_comes_back_from_a_checkpoint(
    tmp_path: Path, name: str, form: str | None, head: str
) -> None:
    if head == "two_logits" and BACKBONES[name].gives_score:
        with pytest.raises(JobError, match=f"{name} gives one score"):
            small(name, form, head)
        return
    job = small(name, form, head)
    inference = built(job)
    model = TrainingModel(inference, job)
    batch = random_batch(job, 32)
    with tf.GradientTape() as tape:
        loss = model.compute_losses(batch)["loss"]
    assert np.isfinite(float(loss))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        values = tf.convert_to_tensor(gradient).numpy()
        assert np.all(np.isfinite(values)), variable.path
        assert np.any(values != 0.0), variable.path
    save(tmp_path / "variables", named_variables(inference))
    again = built(job, seed=99)
    before = again(batch)["click"].numpy()
    restore(tmp_path, named_variables(again))
    expected = inference(batch)["click"].numpy()
    assert not np.allclose(before, expected)
    np.testing.assert_array_equal(again(batch)["click"].numpy(), expected)


@pytest.mark.slow
@EVERY
def test_is_exported_as_it_is(tmp_path: Path, name: str, form: str | None) -> None:
    old = "{name: din, hidden: [8], attention_hidden: [4]}"
    text = FULL_JOB.replace(old, section(name, form))
    assert text != FULL_JOB
    if BACKBONES[name].gives_score:
        text = text.replace("    conversion: {losses: [{name: bce}], given: click}", "")
    if name == "logistic_regression":
        text = text.replace("embedding_dim: 4", "embedding_dim: 1")
    folder = write_models(tmp_path, text, ROWS)
    job = job_of(text)
    check_graph(folder, job)
    check_variables(folder, weights_by_name(inference_model(job)), job)
    # Compares the predictions of the golden rows, made in the model's own graph.
    warm_model(load_model(folder))
