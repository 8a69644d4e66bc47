"""Pooling by weights, quantiles as boundaries, and the tables of made features."""

import numpy as np
import pytest
import tensorflow as tf

from configs.errors import DataError
from configs.features import MultiValuedFeature
from configs.layout import PADDING
from configs.manifest import Statistics
from tests.trainer.model_jobs import (
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from trainer.inference import InferenceModel, build_inference_model
from trainer.layers.first_order import first_order_sum
from trainer.layers.numeric import quantile_boundaries

WEIGHTED = (
    "features.tags.weights=tag_weights",
    "features.labels.weights=label_weights",
)


def model_of(*overrides: str, known: Statistics | None = None) -> InferenceModel:
    return build_inference_model(
        small_job(*overrides),
        statistics=known or statistics(),
        vocabularies=vocabularies(),
    )


def weighted_batch(rows: int, *overrides: str) -> dict[str, tf.Tensor]:
    batch = random_batch(small_job(*overrides), rows)
    random = np.random.default_rng(5)
    for name in ("tags", "labels"):
        ids = batch[f"multi_valued/{name}"].numpy()
        weights = random.choice([0.0, 0.5, 2.0], ids.shape).astype(np.float32)
        weights[ids == PADDING] = 0.0
        batch[f"multi_valued/{name}/weights"] = tf.constant(weights)
    return batch


def test_weights_pool_embeddings() -> None:
    model, batch = model_of(*WEIGHTED), weighted_batch(7, *WEIGHTED)
    groups = model.embed(batch)
    layer = model.embedding
    for name in ("tags", "labels"):
        ids = batch[f"multi_valued/{name}"]
        weights = batch[f"multi_valued/{name}/weights"].numpy().astype(np.float64)
        table = layer.tables.table_variables[0].numpy().astype(np.float64)
        rows = layer.tables.rows_of("tags", ids).numpy()
        expected = np.einsum("bld,bl->bd", table[rows], weights)
        if name == "tags":
            total = weights.sum(axis=1, keepdims=True)
            expected = expected / np.where(total == 0.0, 1.0, total)
        span = layer.layout.spans[name]
        found = groups.embeddings[span.group][:, span.start : span.stop]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_equal_weights_change_nothing() -> None:
    batch = weighted_batch(9, *WEIGHTED)
    for name in ("tags", "labels"):
        there = batch[f"multi_valued/{name}"] != PADDING
        batch[f"multi_valued/{name}/weights"] = tf.cast(there, tf.float32)
    plain = model_of()(batch)["click"]
    np.testing.assert_allclose(model_of(*WEIGHTED)(batch)["click"], plain, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_weights_pool_first_order_weights(pooling: str) -> None:
    feature = MultiValuedFeature.model_validate(
        {"kind": "multi_valued", "pooling": pooling, "weights": "w", "shares": "x"}
    )
    ids = tf.constant([[1, 2, 3], [4, PADDING, PADDING], [PADDING] * 3], tf.int64)
    weights = tf.constant([[2.0, 0.0, 1.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    encoded = {"multi_valued/t": ids, "multi_valued/t/weights": weights}
    values = tf.constant([[3.0, 5.0, 9.0], [7.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = first_order_sum({"multi_valued/t": values}, encoded, {"t": feature})
    expected = [[5.0], [7.0], [0.0]] if pooling == "mean" else [[15.0], [3.5], [0.0]]
    np.testing.assert_allclose(found.numpy(), expected)


def test_quantiles_come_from_the_statistics_and_stay_in_the_weights() -> None:
    quantiles = [float(k) for k in range(1, 1000)]
    known = statistics()
    numeric = known.numeric | {
        "hour": known.numeric["hour"].model_copy(update={"quantiles": quantiles})
    }
    np.testing.assert_array_equal(
        quantile_boundaries("hour", 4, numeric), [250.0, 500.0, 750.0]
    )
    assert quantile_boundaries("hour", 3, numeric).tolist() == [333.0, 667.0]
    override = "features.hour.bucketize={quantiles: 4}"
    model = model_of(override, known=Statistics(numeric=numeric))
    batch = random_batch(small_job(), 5)
    columns = batch["numeric"].numpy().copy()
    columns[:, 3] = [249.0, 250.0, 749.0, 1e9, np.nan]
    groups = model.embed(batch | {"numeric": tf.constant(columns)})
    span = model.embedding.layout.spans["hour"]
    found = groups.embeddings[span.group][:, span.start : span.stop].numpy()
    rows = model.tables.rows_of("hour", tf.constant([1, 2, 3, 4, 0], tf.int64))
    table = model.tables.table_variables[0].numpy()
    np.testing.assert_array_equal(found, table[rows.numpy()])
    names = [w.name for w in model.non_trainable_weights]
    assert "boundaries_hour" in names
    with pytest.raises(DataError, match="no quantiles of 'hour'"):
        model_of(override)


def test_made_features_have_tables_of_their_own() -> None:
    model = model_of(
        "features.clock={kind: time, part: hour, timezone: UTC}",
        "features.day={kind: time, part: weekday, timezone: UTC, group: user, dim: 3}",
        "features.pair={kind: crossed, of: [device, clock], embedding: {buckets: 7}}",
    )
    spans = model.embedding.layout.spans
    assert {"clock", "day", "pair"} < set(spans)
    assert spans["day"].stop - spans["day"].start == 3
    tables = model.tables._tables
    assert [tables[n].rows for n in ("clock", "day", "pair")] == [25, 8, 7]
