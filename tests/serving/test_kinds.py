"""Times, weights and crossed features in requests to an exported model."""

from typing import Any

import numpy as np
import pytest

from serving.saved_model import LoadedModel, load_model
from serving.server.metadata import metadata
from serving.values import columns_of_rows, pack_columns
from tests.serving.models import write_models

JOB = """
name: kinds
data: {impressions: logs/i.jsonl, examples: examples, run: run, models: models}
features:
  word: {kind: categorical, embedding: {buckets: 10}}
  hour: {kind: time, part: hour, timezone: Europe/Oslo}
  joined: {kind: time, part: weekday, timezone: UTC, column: since, unit: iso}
  liked: {kind: multi_valued, column: likes, weights: scores, embedding: {buckets: 9}}
  both: {kind: crossed, of: [word, joined], embedding: {buckets: 50}}
ids: {event: id, time: {column: t, unit: s}}
labels: {click: {column: clicked}}
model:
  embedding_dim: 4
  backbone: {name: dnn, hidden: [5]}
  tasks: {click: {losses: [{name: bce}]}}
training: {embedding_initial_stddev: 1.0}
"""

ROW: dict[str, Any] = {
    "word": "w",
    "t": 1_616_893_199,  # 01:59:59 in Oslo, before clocks go forward
    "since": "2020-01-06T00:00:00+00:00",
    "likes": ["a", "b"],
    "scores": [1.0, 2.0],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    rows = [ROW, dict.fromkeys(ROW)]
    return load_model(write_models(tmp_path_factory.mktemp("kinds"), JOB, rows))


def _scores(model: LoadedModel, *changes: dict[str, Any]) -> list[float]:
    rows = [ROW | change for change in changes]
    columns, problems = columns_of_rows(model.specification, rows, allow_extra=False)
    arrays, more = pack_columns(model.specification, columns)
    assert not problems and not more
    scores: list[float] = model.predict(arrays)["click"].tolist()
    return scores


def test_times_count_by_the_clocks_of_their_zones(model: LoadedModel) -> None:
    base, same, after, text, missing = _scores(
        model,
        {},
        {"t": ROW["t"] - 3_599},
        {"t": ROW["t"] + 1},  # 03:00:00
        {"since": "2020-01-06T23:59:59"},
        {"t": None},
    )
    assert base == same == text
    assert len({base, after, missing}) == 3
    later = {"t": ROW["t"] + 1}
    assert _scores(model, later) == _scores(model, {"t": "1616893200.5"})


def test_weights_scale_and_are_one_where_missing(model: LoadedModel) -> None:
    base, scaled, other, ones, missing = _scores(
        model,
        {},
        {"scores": [2, 4]},
        {"scores": [2.0, 1.0]},
        {"scores": [1.0, 1.0]},
        {"scores": [None, None]},
    )
    assert base == pytest.approx(scaled, abs=1e-6) and ones == missing
    assert len({base, other, ones}) == 3


@pytest.mark.parametrize(
    ("change", "feature", "expected"),
    [
        ({"t": "noon"}, "t", "a time in 's'"),
        ({"since": 7}, "since", "a time in 'iso'"),
        ({"scores": [1.0, -2.0]}, "scores", "a number that is not negative"),
        ({"scores": [1.0]}, "scores", "a list as long as that of 'likes'"),
    ],
)
def test_bad_values_are_named(
    model: LoadedModel, change: dict[str, Any], feature: str, expected: str
) -> None:
    columns, _ = columns_of_rows(
        model.specification, [ROW, ROW | change], allow_extra=False
    )
    _, (problem,) = pack_columns(model.specification, columns)
    assert (problem.feature, problem.row) == (feature, 1)
    assert expected in problem.expected


def test_the_signature_takes_times_as_integers(model: LoadedModel) -> None:
    known = metadata(model.specification, "kinds", 1)["metadata"]["signature_def"]
    inputs = known["signature_def"]["serving_default"]["inputs"]
    assert {name: inputs[name]["dtype"] for name in ("t", "scores", "word")} == {
        "t": "DT_INT64",
        "scores": "DT_FLOAT",
        "word": "DT_STRING",
    }
    assert set(inputs) == set(ROW)
    row = model.specification.example_row()
    assert row["since"].startswith("2017-07-14T") and row["t"] == 1_500_000_000
    columns, problems = columns_of_rows(model.specification, [row], allow_extra=False)
    arrays, more = pack_columns(model.specification, columns)
    assert not problems and not more and arrays["t"].dtype == np.int64
