"""Spare rows are given to values that were seen often enough, as a slow count says."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs import Job
from configs.layout import layout_of
from tests.trainer.example_sets import example, random_rows, small_job
from trainer.inference import build_inference_model
from trainer.inputs.examples import parse_examples
from trainer.stream.growth import Growth

KNOWN = [11, 104729 * 3 + 11]  # items 0 and 3


def growing_job(folder, spare: int, min_count: int) -> Job:
    growing = f"{{min_count: {min_count}, spare: {spare}}}"
    return small_job(
        folder,
        f"features.item.embedding={{vocabulary: {growing}}}",
        "preprocessing.sampling={negative_keep_rate: 0.5}",
        "features.price={kind: numeric, group: item}",
        "features.history.fields={item: {shares: item}}",
    )


def rows_of(job: Job, seed: int) -> list[dict[str, Any]]:
    rows = random_rows(job, 12, seed)
    rng = np.random.default_rng(seed)
    for row in rows:
        row["negative_keep_rate"] = np.array([rng.choice([0.5, 0.25])])
        row["event_kind"] = np.array([int(rng.random() < 0.2)])
    return rows


def tables_of(job: Job) -> Any:
    return build_inference_model(job, vocabularies={"item": np.array(KNOWN)}).tables


def batches_of(job: Job, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    layout = layout_of(job)
    serialized = [example(row) for row in rows]
    halves = tf.constant(serialized[:5]), tf.constant(serialized[5:])
    return [tuple(parse_examples(half, layout) for half in halves)]


class Oracle:
    """Counts one value after the other."""

    def __init__(self, spare: int, min_count: int, most: int) -> None:
        self.rows = {value: k + 1 for k, value in enumerate(KNOWN)}
        self.free = [len(KNOWN) + 1 + k for k in range(spare)]
        self.counts: dict[int, float] = {}
        self.min_count, self.most = min_count, most

    def learn(self, rows: list[dict[str, Any]]) -> int:
        if not self.free:
            self.counts = {}
            return 0
        for row in rows:
            if row["event_kind"][0] != 0:
                continue
            positive = row["labels"][0] == 1
            weight = 1.0 if positive else 1.0 / float(row["negative_keep_rate"][0])
            for value in [row["categorical"][1], *row["sequence/history/item"]]:
                if int(value) not in self.rows:
                    old = self.counts.get(int(value), 0.0)
                    self.counts[int(value)] = old + weight
        given = 0
        for value in sorted(self.counts, key=lambda v: (-self.counts[v], v)):
            if self.free and self.counts[value] >= self.min_count:
                self.rows[value] = self.free.pop(0)
                given += 1
        left = [v for v in self.counts if v not in self.rows]
        left = sorted(left, key=lambda v: (-self.counts[v], v))[: self.most]
        self.counts = {v: self.counts[v] for v in left}
        return given


@pytest.mark.parametrize(
    ("spare", "min_count", "most"), [(20, 9, 100), (4, 5, 100), (20, 30, 3), (1, 1, 9)]
)
def test_rows_are_those_of_a_slow_count(tmp_path, spare, min_count, most):
    job = growing_job(tmp_path, spare, min_count)
    tables = tables_of(job)
    growth, oracle = Growth(job, tables, most=most), Oracle(spare, min_count, most)
    items = tf.constant([104729 * item + 11 for item in range(14)], tf.int64)
    for seed in range(9):
        rows = rows_of(job, seed)
        found = growth.learn(batches_of(job, rows))["item"]
        given = oracle.learn(rows)
        waiting = len(oracle.counts)
        assert found == {"given": given, "free": len(oracle.free), "waiting": waiting}
        first = int(tables.rows_of("item", tf.constant(11, tf.int64))) - 1
        places = (tables.rows_of("item", items) - first).numpy()
        assert places.tolist() == [oracle.rows.get(int(i), 0) for i in items]
    assert len(oracle.rows) > len(KNOWN) or most == 3


def test_going_on_from_a_checkpoint_changes_nothing(tmp_path, monkeypatch):
    job = growing_job(tmp_path, 6, 20)
    whole, parts = tables_of(job), tables_of(job)
    first = Growth(job, whole)
    windows = [batches_of(job, rows_of(job, seed)) for seed in range(6)]
    expected = [first.learn(window) for window in windows]
    found, kept = [], Growth(job, parts).tensors()
    for window in windows:  # a new life for each
        monkeypatch.setattr(
            "trainer.stream.growth.tensors_in",
            lambda _, names, kept=kept: {name: kept[name] for name in names},
        )
        life = Growth(job, parts)
        life.restore(tmp_path)
        found.append(life.learn(window))
        kept = life.tensors()
    assert found == expected and expected[0]["item"]["waiting"] > 0
    for one, other in zip(
        whole.growing()["item"], parts.growing()["item"], strict=True
    ):
        assert np.array_equal(one.numpy(), other.numpy())


def test_without_spare_rows_nothing_is_counted(tmp_path):
    job = small_job(tmp_path)
    growth = Growth(job, tables_of(job))
    assert growth.tensors() == {} and growth.learn([]) == {}
