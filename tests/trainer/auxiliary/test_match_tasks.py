"""UIM and NIP against sums written as loops, and what must not change them."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.job import Job
from configs.layout import PADDING
from tests.oracles import match_tasks as oracle
from tests.oracles import networks
from tests.trainer.model_jobs import (
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from trainer.auxiliary import infonce
from trainer.auxiliary.blocks import group_members
from trainer.collectives import Share
from trainer.inference import build_inference_model
from trainer.similarity import unit_vectors
from trainer.training_model import TrainingModel


def built(job: Job) -> TrainingModel:
    inference = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    model = TrainingModel(inference, job)
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if "bias" in variable.path:
            variable.assign(random.normal(size=variable.shape))
    return model


def job_with(auxiliary: str, *overrides: str) -> Job:
    return small_job(f"model.auxiliary=[{{{auxiliary}}}]", *overrides)


def weights_of(model: TrainingModel) -> dict[str, Any]:
    return {v.path: v.numpy() for v in model.variables}


def loss_of(model: TrainingModel, batch: dict[str, tf.Tensor], name: str) -> float:
    return float(model.compute_losses(batch)[f"auxiliary/{name}"])


def repeated(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Makes rows 3 to 5 the same user with the same history as row 0, and lets
    rows 1 and 6 have one item."""
    rows = np.arange(len(batch["labels"]))
    rows[3:6] = 0
    histories = {
        k: tf.gather(v, rows) for k, v in batch.items() if k.startswith("sequence/")
    }
    ids = batch["ids"].numpy()
    ids[3:6, 1] = ids[0, 1]
    ids[6, 2] = ids[1, 2]
    return {**batch, **histories, "ids": tf.constant(ids)}


def histories_of(
    model: TrainingModel, batch: dict[str, tf.Tensor], without: Collection[int] = ()
) -> tuple[list[Any], list[Any], list[int], list[int]]:
    """NIP's states, targets and lengths of some rows, and these."""
    weights = weights_of(model)
    sequence = model.inference.embed(batch).sequences["history"]
    rows = [i for i in range(len(batch["labels"])) if i not in without]
    states, targets, lengths = [], [], []
    for i in rows:
        values, mask = sequence.values[i].numpy(), sequence.mask[i].numpy()
        states.append(
            networks.self_attention(
                values, mask, weights, "auxiliary_nip_attention", causal=True
            )
        )
        targets.append(values[1:, :9])
        lengths.append(int(mask.sum()))
    return states, targets, lengths, rows


@pytest.mark.parametrize("masked", [True, False])
def test_uim(masked: bool) -> None:
    job = job_with(
        f"name: uim, projection: [9, 5], mask_duplicates: {str(masked).lower()}"
    )
    model = built(job)
    weights = weights_of(model)
    batch = repeated(random_batch(job, 14, seed=2))
    groups = model.inference.embed(batch)
    users, items = [], []
    for i in range(14):
        sequence = groups.sequences["history"]
        values, mask = sequence.values[i].numpy(), sequence.mask[i].numpy()
        attended = networks.self_attention(
            values, mask, weights, "auxiliary_uim_history", causal=False
        )
        pooled = networks.mean_pool(attended, mask)
        user = np.concatenate([groups.embeddings["user"][i].numpy(), pooled])
        for side, x, out in (
            ("user", user, users),
            ("item", groups.embeddings["item"][i].numpy(), items),
        ):
            hidden = networks.dense(x, weights, f"auxiliary_uim_{side}_0", relu=True)
            out.append(networks.dense(hidden, weights, f"auxiliary_uim_{side}_1"))
    ids = batch["ids"].numpy().tolist()
    expected = oracle.uim(
        users,
        items,
        batch["labels"].numpy()[:, 0].tolist(),
        [row[1] for row in ids] if masked else None,
        [row[2] for row in ids] if masked else None,
        0.07,
    )
    assert loss_of(model, batch, "uim") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("masked", "temperature"), [(True, 0.1), (False, 0.1), (True, 0.02)]
)
def test_nip(masked: bool, temperature: float) -> None:
    job = job_with(
        f"name: nip, temperature: {temperature}, mask_duplicates: {str(masked).lower()}"
    )
    model = built(job)
    batch = repeated(random_batch(job, 14, seed=2))
    # Rows 3 to 5 repeat the history of row 0, so they are not asked again.
    states, targets, lengths, rows = histories_of(model, batch, {3, 4, 5})
    items = batch["sequence/history/item"].numpy()[rows, 1:].tolist()
    users = batch["ids"].numpy()[rows, 1].tolist()
    expected = oracle.nip(
        states,
        targets,
        lengths,
        users if masked else None,
        items if masked else None,
        temperature,
    )
    assert loss_of(model, batch, "nip") == pytest.approx(expected, rel=1e-4)


def test_blocks_follow_from_the_positions_alone() -> None:
    positions = tf.constant([0, 1, 2, 0, 1, 0, 0, 1, 0, 0, 0])
    everything = Share(tf.constant(0), tf.constant(11))
    blocks = [[0, 3, 5, 6], [8, 9, 10, -1], [1, 4, 7, -1], [2, -1, -1, -1]]
    np.testing.assert_array_equal(group_members(positions, everything, 4), blocks)
    own = Share(tf.constant(7), tf.constant(9))
    found = group_members(positions, own, 4)
    np.testing.assert_array_equal(found, [b[:3] for b in blocks[1:3]])
    nobody = Share(tf.constant(7), tf.constant(7))
    assert group_members(positions, nobody, 4).shape[0] == 0


def test_blocks_bound_the_negatives() -> None:
    model = built(job_with("name: nip, max_negatives: 3, mask_duplicates: false"))
    states, targets, lengths, _ = histories_of(model, random_batch(small_job(), 12))
    expected = oracle.nip(states, targets, lengths, None, None, 0.1, 4)
    batch = random_batch(small_job(), 12)
    assert loss_of(model, batch, "nip") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["uim", "nip"])
def test_without_anchors_the_loss_is_zero(name: str) -> None:
    model = built(job_with(f"name: {name}"))
    batch = random_batch(small_job(), 6)
    empty = {key: value[:0] for key, value in batch.items()}
    nothing = dict(batch, labels=tf.zeros_like(batch["labels"]))
    for field in ("item", "topic", "place"):
        key = f"sequence/history/{field}"
        nothing[key] = tf.fill(batch[key].shape, np.int64(PADDING))
    for case in (empty, nothing):
        with tf.GradientTape() as tape:
            loss = model.compute_losses(case)[f"auxiliary/{name}"]
        assert float(loss) == 0.0
        for gradient in tape.gradient(loss, [v.value for v in model.dense_variables]):
            if gradient is not None:
                assert np.all(gradient.numpy() == 0.0)


@pytest.mark.parametrize("name", ["uim", "nip"])
def test_gradient_reaches_every_own_variable(name: str) -> None:
    model = built(job_with(f"name: {name}"))
    batch = random_batch(small_job(), 32)
    own = [v for v in model.trainable_variables if f"auxiliary_{name}" in v.path]
    assert own
    with tf.GradientTape() as tape:
        loss = model.compute_losses(batch)[f"auxiliary/{name}"]
    gradients = tape.gradient(loss, [v.value for v in own])
    for variable, gradient in zip(own, gradients, strict=True):
        assert np.any(gradient.numpy() != 0.0), variable.path
        assert np.all(np.isfinite(gradient.numpy())), variable.path


@pytest.mark.parametrize("tile", [1, 40, 10_000])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_own_gradient_is_that_of_the_plain_graph(
    tile: int, masked: bool, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`symmetric_info_nce_sum` against autodiff through log-sum-exp."""
    monkeypatch.setattr(infonce, "TILE", tile)
    monkeypatch.setattr(infonce, "FEWEST_ROWS", 4)
    random = np.random.default_rng(0)
    valid = tf.constant(random.random((3, 6)) < 0.7)
    counted = valid & tf.constant(random.random((3, 6)) < 0.6)
    ids = [tf.constant(random.integers(0, 3, (3, 6))) if masked else None] * 2
    inputs = [tf.constant(random.normal(size=(3, 6, 4)), tf.float32) for _ in range(2)]

    def plain(a: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        logits = tf.matmul(a, t, transpose_b=True) / temperature
        total = 0.0
        for scores, same in (
            (logits, ids[0]),
            (tf.transpose(logits, [0, 2, 1]), ids[1]),
        ):
            allowed = tf.tile(valid[:, None, :], [1, 6, 1])
            if same is not None:
                other = same[:, :, None] != same[:, None, :]
                allowed &= other | tf.cast(tf.eye(6), tf.bool)
            below = tf.reduce_logsumexp(tf.where(allowed, scores, -1e9), axis=2)
            above = tf.linalg.diag_part(logits)
            total += tf.reduce_sum(tf.where(counted, below - above, 0.0))
        return total

    results = []
    for function in (
        lambda a, t: infonce.symmetric_info_nce_sum(
            a, t, valid, counted, *ids, temperature
        ),
        plain,
    ):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = function(*[unit_vectors(x) for x in inputs])
        results.append((value, *tape.gradient(value, inputs)))
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=2e-5)


def test_zero_vectors_have_no_direction() -> None:
    vectors = tf.constant([[0.0, 0.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        units = unit_vectors(vectors)
    np.testing.assert_allclose(units, [[0.0, 0.0], [0.6, 0.8]], rtol=1e-6)
    assert np.all(np.isfinite(tape.gradient(units, vectors).numpy()))
