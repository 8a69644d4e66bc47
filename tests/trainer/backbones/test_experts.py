"""Experts over several sets of embeddings: against NumPy, gradients, counts, rules."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.errors import JobError
from configs.experts import HeterogeneousExperts
from configs.job import Job
from tests.oracles import interactions, networks
from tests.trainer import example_sets
from tests.trainer.backbones.interaction_reference import GROUPS, InteractionReference
from tests.trainer.backbones.test_parameter_counts import VALUES, mlp
from tests.trainer.model_jobs import (
    even_job,
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from tests.trainer.reference import ROWS, SHARES, Array
from trainer.backbones.experts import EXPERTS
from trainer.checkpoint import shapes_in
from trainer.inference import InferenceModel, build_inference_model
from trainer.run import Run, load_inference_model
from trainer.train import train
from trainer.training_model import TrainingModel

DEEP = "hidden: [8, 6]"
DCN = f"{{name: dcn_v2, {DEEP}, cross_layers: 2, rank: 3, number_dim: 2}}"
FORMS = {
    "three_sets": "{name: experts, hidden: [5, 4], sets: ["
    f"{{experts: [{{name: dnn, {DEEP}}}, {DCN}]}},"
    f" {{dim: 8, experts: [{{name: gwpfm}}, {{name: ipnn, {DEEP}}}]}},"
    f" {{dim: 4, experts: [{{name: gwpfm, {DEEP}}}]}}]}}",
    "one_set": "{name: experts, hidden: [5, 4], sets: [{experts: ["
    f"{{name: ipnn, {DEEP}}}, {{name: ipnn, {DEEP}}}]}}]}}",
}
JOBS = {
    # Its first set has embeddings of several widths.
    "three_sets": small_job(f"model.backbone={FORMS['three_sets']}"),
    "one_set": even_job(FORMS["one_set"]),
}
ALL = pytest.mark.parametrize("name", JOBS)


def built(name: str) -> InferenceModel:
    model = build_inference_model(
        JOBS[name], statistics=statistics(), vocabularies=vocabularies()
    )
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if variable.path.split("/")[-1] in ("bias", "weights"):
            variable.assign(variable.value + random.normal(size=variable.shape))
    return model


def backbone_of(name: str) -> HeterogeneousExperts:
    backbone = JOBS[name].model.backbone
    assert isinstance(backbone, HeterogeneousExperts)
    return backbone


class ExpertReference(InteractionReference):
    """One expert, as if it were the backbone, and its set the only one."""

    def __init__(
        self, job: Job, model: InferenceModel, place: int, number: int, expert: Any
    ) -> None:
        super().__init__(job, model)
        prefix = f"backbone_expert_{place}_{expert.name}"
        self.weights |= {
            path.replace(prefix, "backbone"): values
            for path, values in self.weights.items()
            if path.startswith(f"{prefix}_")
        }
        self.table = f"tables/set_{number + 1}" if number else ""
        if self.table:
            self.dim = self.weights[self.table].shape[1]
            self.dims = dict.fromkeys(ROWS, self.dim)

    def vector(self, name: str, value: int) -> Array:
        if not self.table:
            return super().vector(name, value)
        if value == -1:
            return np.zeros(self.dim)
        names = list(ROWS)
        owner = SHARES.get(name, name)
        # All tables lie one after another in the variable of a set.
        start = 1 + sum(ROWS[n] for n in names[: names.index(owner)])
        row = start + self.local_row(name, value)
        return np.asarray(self.weights[self.table][row], np.float64)

    def output(self, batch: dict[str, Any], i: int, expert: Any) -> Array:
        if expert.name != "gwpfm":
            return self.hidden(batch, i, expert)
        fields = self.fields(self.row(batch, i))
        pairs = self.weights["backbone_pairs/weights"]
        products = interactions.part_products(fields, GROUPS, pairs)
        return self.deep(products) if expert.hidden else products


@ALL
def test_logits_are_those_of_the_oracle(name: str) -> None:
    job, model, batch = JOBS[name], built(name), random_batch(JOBS[name], 8)
    chosen = [(s, e) for s, x in enumerate(backbone_of(name).sets) for e in x.experts]
    experts = [
        (ExpertReference(job, model, place, number, expert), expert)
        for place, (number, expert) in enumerate(chosen)
    ]
    rows = {key: value.numpy() for key, value in batch.items()}
    weights = experts[0][0].weights
    expected = []
    for i in range(8):
        joined = np.concatenate([one.output(rows, i, e) for one, e in experts])
        hidden = networks.mlp(joined, weights, "backbone_tower", 2)
        expected.append(networks.dense(hidden, weights, "head_click_logit")[0])
    np.testing.assert_allclose(model(batch)["click"], expected, rtol=1e-3, atol=2e-4)


ATTENDING = {
    "din": "{name: din, attention_hidden: [4], hidden: [8, 6]}",
    "tin": "{name: tin, hidden: [8, 6]}",
}


@pytest.mark.parametrize("name", ATTENDING)
def test_an_expert_that_attends_is_the_backbone_of_that_name(name: str) -> None:
    """Which has tests of its own. Embeddings of one width lie as those of a set do."""
    sets = f"[{{experts: [{{name: dnn}}]}}, {{dim: 4, experts: [{ATTENDING[name]}]}}]"
    job = even_job(f"{{name: experts, sets: {sets}}}")
    model, alone = (
        build_inference_model(j, statistics=statistics(), vocabularies=vocabularies())
        for j in (job, even_job(ATTENDING[name]))
    )
    prefix = f"backbone_expert_1_{name}_"
    weights = {v.path.replace(prefix, "backbone_"): v for v in model.variables}
    weights["tables/width_4"] = weights["tables/set_2"]
    for variable in alone.trainable_variables:
        if not variable.path.startswith("head_"):
            variable.assign(weights[variable.path].value)
    batch = random_batch(job, 12)
    groups = model.embed(batch).further[0]
    found = model.backbone.experts[1](groups)
    assert np.any(found.numpy() != 0.0)
    expected = alone.backbone(alone.embed(batch))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_every_expert_is_in_a_table() -> None:
    sets = [x for name in JOBS for x in backbone_of(name).sets]
    named = {e.name for x in sets for e in x.experts}
    assert named | set(ATTENDING) == set(EXPERTS)


@ALL
def test_gradients_reach_every_variable_and_tables_by_rows_alone(name: str) -> None:
    job = JOBS[name]
    model = TrainingModel(built(name), job)
    with tf.GradientTape() as tape:
        loss = model.compute_losses(random_batch(job, 64))["loss"]
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        values = tf.convert_to_tensor(gradient).numpy()
        assert np.any(values != 0.0), variable.path
        if variable.path.startswith("tables/"):
            assert isinstance(gradient, tf.IndexedSlices)
            assert np.all(values[0] == 0.0), "the row of padding moves"
    sets = [v.path for v in model.table_variables if "set_" in v.path]
    assert len(sets) == len(backbone_of(name).sets) - 1


@ALL
def test_padding_and_other_rows_change_nothing(name: str) -> None:
    model, batch = built(name), random_batch(JOBS[name], 8)
    expected = model(batch)["click"].numpy()
    for key in ("multi_valued/tags", "multi_valued/labels"):
        wider = tf.fill((8, 2), np.int64(-1))
        batch[key] = tf.concat([batch[key], wider], axis=1)
    padded = batch["sequence/history/item"] == -1
    for field in ("topic", "place"):
        key = f"sequence/history/{field}"
        batch[key] = tf.where(padded, tf.fill(padded.shape, np.int64(-1)), batch[key])
    key = "sequence/history/delay"
    batch[key] = tf.where(padded, 123.0, batch[key])
    found = model({key: value[2:5] for key, value in batch.items()})["click"]
    np.testing.assert_allclose(found, expected[2:5], rtol=1e-4, atol=1e-5)


def test_the_number_of_weights_is_the_closed_form() -> None:
    """Of the first set 17 fields with widths of 4, 3 and 2; 8 numbers and one tower."""
    widths = {"topic": 3, "history.place": 2, "hits": 3}
    first = [(4, 1 + sum(n for t, n in ROWS.items() if t not in widths))]
    first += [(3, 1 + ROWS["topic"] + ROWS["hits"]), (2, 1 + ROWS["history.place"])]
    tables = sum(dim * rows for dim, rows in first) + (VALUES + 1) * (8 + 4)
    fields = 4 * 6 + 3 * 2 + (4 + 3 + 2)
    flat, mixed = fields + 5 + 3, fields + 5 * 2 + 3
    experts = [
        mlp(flat, 8, 6),
        5 * 2 + 2 * (2 * mixed * 3 + mixed) + mlp(mixed, 8, 6),
        (5 + 3) * 8 + 10,
        (5 + 3) * 8 + mlp(17 * 8 + 17 * 16 // 2, 8, 6),
        (5 + 3) * 4 + 10 + mlp(1, 8, 6),
    ]
    joined = 6 + (mixed + 6) + 8 // 4 + 6 + 6
    expected = tables + sum(experts) + mlp(joined, 5, 4) + (4 + 1)
    model = built("three_sets")
    assert sum(math.prod(v.shape) for v in model.trainable_variables) == expected


@pytest.mark.slow
def test_lower_precision_and_compilation_change_next_to_nothing() -> None:
    batch, losses = random_batch(JOBS["three_sets"], 48), []
    for options in ("{}", "{precision: bfloat16}", "{jit_compile: true}"):
        backbone = f"model.backbone={FORMS['three_sets']}"
        job = small_job(backbone, f"training={options}")
        inference = build_inference_model(
            job, statistics=statistics(), vocabularies=vocabularies()
        )
        model = TrainingModel(inference, job)
        losses.append(float(model.compute_losses(batch, training=True)["loss"]))
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)


def test_sets_start_apart_and_are_of_the_job_alone() -> None:
    text = "{name: experts, sets: [{experts: [{name: dnn}]}%s]}"
    more = ", {dim: 4, experts: [{name: dnn}]}" * 2
    job = even_job(text % more)
    first, again = (
        build_inference_model(job, vocabularies=vocabularies()) for _ in range(2)
    )
    tables = [v.numpy() for v in first.tables.table_variables]
    assert len(tables) == 3
    for one, other in zip(tables, again.tables.table_variables, strict=True):
        np.testing.assert_array_equal(one, other.numpy())
    assert not np.any(np.isclose(tables[1][1:], tables[2][1:]).all(axis=1))
    paths = [v.path for v in first.variables]
    assert len(set(paths)) == len(paths)


@pytest.mark.slow
def test_rows_of_all_sets_are_trained_and_saved(tmp_path: Path) -> None:
    backbone = (
        "{name: experts, hidden: [3], sets: [{experts: [{name: dnn, hidden: [3]}]},"
        " {dim: 2, experts: [{name: dnn, hidden: [3]}]}]}"
    )
    job = example_sets.small_job(
        tmp_path,
        f"model.backbone={backbone}",
        "training.optimizer.embeddings={name: adagrad, learning_rate: 0.1}",
        "training.max_steps=2",
    )
    example_sets.small_example_set(job)
    train(job)
    saved = shapes_in(Run(job.data.run).checkpoints.find("last"))
    name = "inference/embedding/tables/set_2"
    slots = [n for n in saved if n.startswith("optimizer/tables/") and "set_2" in n]
    assert [saved[n][0] for n in slots] == [saved[name][0]]
    _, model = load_inference_model(job.data.run, "last")
    fresh = build_inference_model(
        job, vocabulary_sizes=model.tables.vocabulary_sizes, seed=job.training.seed
    )
    before, after = (m.tables.table_variables[-1].numpy() for m in (fresh, model))
    moved = np.any(before != after, axis=1)
    assert moved.any() and not moved[0]


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ("{dim: 8, experts: [{name: dnn}]}", "leave out its 'dim'"),
        ("{experts: [{name: dnn}]}, {experts: [{name: dnn}]}", "sets.1 has no 'dim'"),
        ("{experts: [{name: fm}]}", "no such name: 'fm'.*Known: gwpfm, ipnn"),
        ("{experts: [{name: ipnn}]}", "expert ipnn of set 0 multiplies .*'topic': 3"),
        (
            "{experts: [{name: dnn}]}, {dim: 6, experts: [{name: gwpfm}]}",
            r"multiple of that, got \{6\}",
        ),
        ("{experts: []}", "at least 1 item"),
    ],
)
def test_what_cannot_be_built_is_refused(sets: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        small_job(f"model.backbone={{name: experts, sets: [{sets}]}}")
