"""DMR, DeepMCP and CL4CTR against loops, and every auxiliary task's common rules."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.auxiliary_rules import field_tables
from configs.job import Job
from configs.layout import PADDING
from tests.oracles import auxiliary_baselines as oracle
from tests.oracles import networks
from tests.trainer.model_jobs import even_job, random_batch, statistics, vocabularies
from trainer.auxiliary.draws import Draws
from trainer.auxiliary.registry import AUXILIARY, build_auxiliary
from trainer.inference import InferenceModel, build_inference_model
from trainer.training_model import TrainingModel

BACKBONE = "{name: dcn_v2, hidden: [6], cross_layers: 1}"
OPTIONS = {
    "uim": "projection: [5, 4]",
    "nip": "max_negatives: 3",
    "dmr": "negatives: 5, attention_width: 6, position_dim: 3",
    "deepmcp_matching": "hidden: [5, 4]",
    "deepmcp_correlation": "hidden: [5, 4], negatives: 3",
    "cl4ctr_contrastive": "layers: 2, feed_forward: 7",
    "cl4ctr_alignment": "",
    "cl4ctr_uniformity": "",
}
ROWS = 11


def auxiliary_job(*names: str, **more: str) -> Job:
    """Returns a job with tasks, by default all of them."""
    parts = []
    for name in names or OPTIONS:
        options = [OPTIONS[name], more.get(name, "")]
        parts.append(f"{{{', '.join(x for x in [f'name: {name}', *options] if x)}}}")
    return even_job(BACKBONE, 4, f"model.auxiliary=[{', '.join(parts)}]")


@dataclass
class Tasks:
    """The tasks of a job over one embedding layer, with a record of what is drawn."""

    job: Job
    inference: InferenceModel
    layers: dict[str, Any]
    drawn: list[Any] = field(default_factory=list)

    def loss(self, name: str, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """The loss of a task in its first step."""
        self.drawn.clear()
        layer = self.layers[name]
        for variable in layer.variables:
            if "seeds" in variable.path:
                variable.assign(np.array([7, 0]))
        return layer(self.inference.embed(batch), batch)

    def weights(self, name: str) -> dict[str, Any]:
        return {v.path: v.numpy() for v in self.layers[name].variables}


def tasks_of(job: Job) -> Tasks:
    inference = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    layers = {
        config.name: build_auxiliary(config, job, inference.embedding.layout, seed=3)
        for config in job.model.auxiliary
    }
    random = np.random.default_rng(5)
    for layer in layers.values():
        for variable in layer.trainable_variables:
            if "bias" in variable.path or "targets" in variable.path:
                variable.assign(random.normal(size=variable.shape))
    return Tasks(job, inference, layers)


@pytest.fixture(scope="module")
def every_task() -> Tasks:
    return tasks_of(auxiliary_job())


@pytest.fixture
def tasks(every_task: Tasks, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tasks]:
    recording(every_task, monkeypatch)
    yield every_task


def recording(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("integers", "fractions"):
        original = getattr(Draws, kind)

        def record(*arguments: Any, original: Any = original) -> tf.Tensor:
            values = original(*arguments)
            tasks.drawn.append(values.numpy())
            return values

        monkeypatch.setattr(Draws, kind, record)


@pytest.fixture(scope="module")
def batch() -> dict[str, tf.Tensor]:
    """Users repeat, and rows 3 to 5 have the history of row 0, which is not empty."""
    batch = random_batch(auxiliary_job("uim"), ROWS, seed=6)
    rows = np.arange(ROWS)
    rows[3:6] = 0
    return {
        key: tf.gather(value, rows) if key.startswith("sequence/") else value
        for key, value in batch.items()
    }


def histories(
    tasks: Tasks, batch: dict[str, tf.Tensor]
) -> Iterator[tuple[int, Any, list[int]]]:
    """Row, embedded behaviours and items of those with two behaviours or more."""
    sequence = tasks.inference.embed(batch).sequences["history"]
    items = batch["sequence/history/item"].numpy()
    for row in range(ROWS):
        mask = sequence.mask[row].numpy()
        if mask.sum() > 1:
            values = sequence.values[row].numpy().astype(np.float64)
            yield row, values[mask], items[row][mask].tolist()


def test_the_batch_has_what_is_tested(
    batch: dict[str, tf.Tensor], tasks: Tasks
) -> None:
    found = list(histories(tasks, batch))
    assert 0 in [row for row, _, _ in found]
    assert 2 <= len(found) < ROWS
    last = [items[-1] for _, _, items in found]
    assert len(set(last)) < len(last)


def test_every_task_is_in_this_table() -> None:
    assert OPTIONS.keys() == AUXILIARY.keys()


@pytest.mark.parametrize("options", ["", "mask_duplicates: false", "targets: shared"])
def test_dmr(
    options: str, batch: dict[str, tf.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = tasks_of(auxiliary_job("dmr", dmr=options))
    recording(tasks, monkeypatch)
    found = float(tasks.loss("dmr", batch))
    weights = tasks.weights("dmr")
    users, vectors, items = [], [], []
    for _, behaviours, history in histories(tasks, batch):
        users.append(oracle.dmr_user(behaviours[:-1], weights))
        items.append(history[-1])
        if "shared" in options:
            vectors.append(behaviours[-1][:4])  # its first field
        else:
            vectors.append(weights["auxiliary_dmr/targets"][history[-1] % 40])
    masked = "false" not in options
    expected = oracle.dmr(users, vectors, items, tasks.drawn[0].tolist(), masked)
    assert found == pytest.approx(expected, rel=1e-5)
    unmasked = oracle.dmr(users, vectors, items, tasks.drawn[0].tolist(), not masked)
    assert abs(unmasked - expected) > 1e-3


def test_deepmcp_matching(tasks: Tasks, batch: dict[str, tf.Tensor]) -> None:
    found = float(tasks.loss("deepmcp_matching", batch))
    weights, groups = tasks.weights("deepmcp_matching"), tasks.inference.embed(batch)
    users, items = [], []
    for row in range(ROWS):
        sequence = groups.sequences["history"]
        pooled = networks.mean_pool(
            sequence.values[row].numpy(), sequence.mask[row].numpy()
        )
        user = np.concatenate([groups.embeddings["user"][row].numpy(), pooled])
        item = groups.embeddings["item"][row].numpy()
        for side, x, out in (("user", user, users), ("item", item, items)):
            name = f"auxiliary_deepmcp_matching_{side}"
            hidden = networks.dense(x, weights, f"{name}_0", relu=True)
            out.append(np.tanh(networks.dense(hidden, weights, f"{name}_1")))
    expected = oracle.matching(users, items, batch["labels"].numpy()[:, 0].tolist())
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("options", ["", "mask_duplicates: false, window: 1"])
def test_deepmcp_correlation(
    options: str, batch: dict[str, tf.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "deepmcp_correlation"
    tasks = tasks_of(auxiliary_job(name, deepmcp_correlation=options))
    recording(tasks, monkeypatch)
    found = float(tasks.loss(name, batch))
    weights = tasks.weights(name)
    distinct = []
    for row, behaviours, items in histories(tasks, batch):
        if row in (3, 4, 5):
            continue
        vectors = []
        for behaviour in behaviours[:, :12]:  # the categorical fields
            part = f"auxiliary_{name}_behaviour"
            hidden = networks.dense(behaviour, weights, f"{part}_0", relu=True)
            vectors.append(np.tanh(networks.dense(hidden, weights, f"{part}_1")))
        distinct.append(list(zip(vectors, items, strict=True)))
    masked = "false" not in options
    window = 1 if "window" in options else 2
    expected = oracle.correlation(distinct, tasks.drawn[0], window, masked)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mask", ["random", "feature", "dimension"])
def test_cl4ctr_contrastive(
    mask: str, batch: dict[str, tf.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "cl4ctr_contrastive"
    options = f"mask: {mask}, rate: 0.3"
    tasks = tasks_of(auxiliary_job(name, cl4ctr_contrastive=options))
    recording(tasks, monkeypatch)
    found = float(tasks.loss(name, batch))
    weights, groups = tasks.weights(name), tasks.inference.embed(batch)
    together = np.concatenate([x.numpy() for x in groups.embeddings.values()], axis=1)
    views: list[list[Any]] = [[], []]
    for row in range(ROWS):
        features = together[row].reshape(-1, 4).astype(np.float64)
        for view in range(2):
            drawn = np.broadcast_to(tasks.drawn[0][view][row], features.shape)
            seen = np.where(drawn < 0.3, 0.0, features)
            flat = oracle.encoded(seen, weights, f"auxiliary_{name}", 2)
            part = f"auxiliary_{name}_view_{view}"
            views[view].append(networks.dense(flat, weights, part))
    assert 0.15 < np.mean(tasks.drawn[0] < 0.3) < 0.45
    assert found == pytest.approx(oracle.contrastive(*views), rel=1e-4)


def distinct_vectors(tasks: Tasks, batch: dict[str, tf.Tensor]) -> list[list[Any]]:
    """The embedding of each distinct value, by table."""
    groups, layout = tasks.inference.embed(batch), tasks.inference.embedding.layout
    names = ["user_id", "article", "topic", "device"]  # as in `categorical`
    found: list[list[Any]] = []
    for table in (*names, "hour", "hits"):
        values: dict[Any, Any] = {}
        for row in range(ROWS):
            span = layout.spans[table]
            vector = groups.embeddings[span.group][row, span.start : span.stop]
            if table in names:
                key = int(batch["categorical"][row, names.index(table)])
            elif table == "hour":
                key = networks.bucket(float(batch["numeric"][row, 3]), [6, 12, 18])
            else:
                key = networks.log2_bucket(float(batch["numeric"][row, 4]))
            values.setdefault(key, vector.numpy())
        found.append(list(values.values()))
    return found


def test_cl4ctr_fields(tasks: Tasks, batch: dict[str, tf.Tensor]) -> None:
    tables = field_tables(tasks.job)
    assert list(tables) == ["user_id", "article", "topic", "device", "hour", "hits"]
    vectors = distinct_vectors(tasks, batch)
    assert any(len(x) < ROWS for x in vectors)
    found = float(tasks.loss("cl4ctr_alignment", batch))
    assert found == pytest.approx(oracle.alignment(vectors), rel=1e-5)
    found = float(tasks.loss("cl4ctr_uniformity", batch))
    assert found == pytest.approx(oracle.uniformity(vectors), rel=1e-4, abs=1e-6)


def test_features_that_share_a_table_are_one_field() -> None:
    shared = "features.device={kind: categorical, shares: article}"
    job = even_job(BACKBONE, 4, shared, "model.auxiliary=[{name: cl4ctr_alignment}]")
    assert field_tables(job)["article"] == ["article", "device"]
    tasks = tasks_of(job)
    batch = random_batch(job, ROWS)
    groups, layout = tasks.inference.embed(batch), tasks.inference.embedding.layout
    values: dict[int, Any] = {}
    for place, name in ((1, "article"), (3, "device")):
        span = layout.spans[name]
        for row in range(ROWS):
            key = int(batch["categorical"][row, place])
            vector = groups.embeddings[span.group][row, span.start : span.stop]
            values[key] = vector.numpy()
    others = distinct_vectors(tasks, batch)
    expected = oracle.alignment(
        [others[0], list(values.values()), others[2], *others[4:]]
    )
    found = float(tasks.loss("cl4ctr_alignment", batch))
    assert found == pytest.approx(expected, rel=1e-5)


QUICK = ("dmr", "cl4ctr_alignment", "cl4ctr_uniformity")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in OPTIONS
    ],
)
def test_gradient_is_the_slope(
    name: str, tasks: Tasks, batch: dict[str, tf.Tensor]
) -> None:
    """Along a direction near the gradient, of each variable and table."""
    tables = tasks.inference.tables.table_variables
    variables = [*tasks.layers[name].trainable_variables, *tables]
    with tf.GradientTape() as tape:
        loss = tasks.loss(name, batch)
    gradients = tape.gradient(loss, [v.value for v in variables])
    random = np.random.default_rng(2)
    tested = 0
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        slopes = tf.convert_to_tensor(gradient).numpy().astype(np.float64)
        length = np.sqrt(np.sum(slopes**2))
        if variable.path.endswith("_key/kernel") and length < 1e-3:
            continue  # Keys of equal behaviours: next to nothing to be seen.
        assert length > 1e-6, variable.path
        noise = random.normal(size=slopes.shape)
        step = slopes / length + 0.5 * noise / np.sqrt(np.sum(noise**2))
        step *= 4e-3
        before = variable.numpy()
        losses = []
        for sign in (1.0, -1.0):
            variable.assign(before + sign * step)
            losses.append(float(tasks.loss(name, batch)))
        variable.assign(before)
        expected = (losses[0] - losses[1]) / 2.0
        assert np.sum(slopes * step) == pytest.approx(expected, rel=0.03, abs=2e-6), (
            variable.path
        )
        tested += 1
    assert tested >= len(tables)


@pytest.mark.parametrize("name", list(OPTIONS))
def test_padding_changes_nothing(
    name: str, tasks: Tasks, batch: dict[str, tf.Tensor]
) -> None:
    wider = dict(batch)
    for key, value in batch.items():
        if key.startswith(("sequence/", "multi_valued/")):
            padding = np.nan if value.dtype.is_floating else PADDING
            wider[key] = tf.pad(
                value,
                [[0, 0], [0, 3]],
                constant_values=tf.constant(padding, value.dtype),
            )
    expected = float(tasks.loss(name, batch))
    assert expected != 0.0
    assert float(tasks.loss(name, wider)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", list(OPTIONS))
def test_without_rows_or_behaviours_the_loss_is_zero(
    name: str, tasks: Tasks, batch: dict[str, tf.Tensor]
) -> None:
    assert float(tasks.loss(name, {k: v[:0] for k, v in batch.items()})) == 0.0
    if name in ("nip", "dmr", "deepmcp_correlation"):
        nothing = dict(batch)
        for key, value in batch.items():
            if key.startswith("sequence/") and not value.dtype.is_floating:
                nothing[key] = tf.fill(value.shape, tf.constant(PADDING, value.dtype))
        assert float(tasks.loss(name, nothing)) == 0.0


@pytest.mark.parametrize("name", ["dmr", "deepmcp_correlation", "cl4ctr_contrastive"])
def test_draws_follow_from_seed_and_step(
    name: str, tasks: Tasks, batch: dict[str, tf.Tensor]
) -> None:
    layer, groups = tasks.layers[name], tasks.inference.embed(batch)

    def steps(count: int) -> list[Any]:
        tasks.drawn.clear()
        for _ in range(count):
            layer(groups, batch)
        return list(tasks.drawn)

    tasks.loss(name, batch)
    (state,) = (v for v in layer.variables if "seeds" in v.path)
    saved = state.numpy()
    whole = steps(3)
    assert not np.array_equal(whole[0], whole[1])
    state.assign(saved)
    again = steps(1)
    state.assign(state.numpy())  # as a checkpoint does
    again += steps(2)
    for ours, expected in zip(again, whole, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_the_own_table_is_trained_as_a_table() -> None:
    job = auxiliary_job("dmr")
    inference = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    model = TrainingModel(inference, job)
    table = model.table_variables[-1]
    assert table.path == "auxiliary_dmr/targets"
    assert tuple(table.shape) == (40, 4)
    assert not any(v is table for v in model.dense_variables)
    with tf.GradientTape() as tape:
        loss = model.compute_losses(random_batch(job, 8))["loss"]
    assert isinstance(tape.gradient(loss, table.value), tf.IndexedSlices)
    assert not any(v is table for v in inference.variables)
