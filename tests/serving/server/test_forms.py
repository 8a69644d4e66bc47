"""The forms of requests and answers: TensorFlow Serving's, member by member."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.serving.conftest import asker
from tests.serving.models import ROW, ROWS

Ask = Callable[..., tuple[int, Any]]
PREDICT = "/v1/models/shop:predict"


def by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in ROW}


def test_rows_get_an_object_for_each_instance(ask: Ask) -> None:
    status, answer = ask("POST", PREDICT, {"instances": ROWS})
    assert status == 200
    assert list(answer) == ["predictions"]
    assert [list(p) for p in answer["predictions"]] == [["click", "conversion"]] * 5
    assert all(0 < v < 1 for p in answer["predictions"] for v in p.values())


def test_columns_get_a_list_for_each_output(ask: Ask) -> None:
    rows = ask("POST", PREDICT, {"instances": ROWS})[1]["predictions"]
    status, answer = ask("POST", PREDICT, {"inputs": by_column(ROWS)})
    assert status == 200
    assert answer == {
        "outputs": {task: [row[task] for row in rows] for task in rows[0]}
    }


def test_single_input_and_output_drop_their_names(single_model: Any) -> None:
    ask = asker(single_model, "tiny")
    path = "/v1/models/tiny:predict"
    named = ask("POST", path, {"instances": [{"word": "a"}, {"word": None}]})
    assert named[0] == 200
    first, second = named[1]["predictions"]
    assert first != second
    plain = ask("POST", path, {"instances": ["a", None]})
    assert plain == named
    expected = (200, {"outputs": [first, second]})
    assert ask("POST", path, {"inputs": {"word": ["a", ""]}}) == expected
    assert ask("POST", path, {"inputs": ["a", ""]}) == expected


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_any_batch_size(ask: Ask, size: int) -> None:
    whole = ask("POST", PREDICT, {"instances": ROWS})[1]["predictions"]
    rows = [ROWS[i % len(ROWS)] for i in range(size)]
    status, answer = ask("POST", PREDICT, {"instances": rows})
    assert status == 200
    for i, prediction in enumerate(answer["predictions"]):
        for task, value in prediction.items():
            assert value == pytest.approx(whole[i % len(ROWS)][task], abs=1e-6)


@pytest.mark.parametrize(
    ("changed", "same_as"),
    [
        ({"item_id": "7"}, {"item_id": 7}),
        ({"item_id": "+07"}, {"item_id": 7}),
        ({"item_id": 7.0}, {"item_id": 7}),
        ({"user_id": 12}, {"user_id": "12"}),
        ({"user_id": {"b64": "dTE="}}, {"user_id": "u1"}),
        ({"user_id": ""}, {"user_id": None}),
        ({"tags": []}, {"tags": None}),
        ({"tags": ["a", None, ""]}, {"tags": ["a"]}),
        ({"tags": ["a", "b", "c", "d"]}, {"tags": ["a", "b", "c"]}),
        ({"look": [None] * 3}, {"look": None}),
        ({"look": []}, {"look": None}),
        ({"look": [0, 0, 0]}, {"look": None}),
        (
            {"history_item": [9, 5, 6, 7, 8], "history_days": [0, 1, 2, 3, 4]},
            {"history_item": [5, 6, 7, 8], "history_days": [1, 2, 3, 4]},
        ),
        (
            {"history_item": [5, None, 6], "history_days": [1, 2, 3]},
            {"history_item": [5, 6], "history_days": [1, 3]},
        ),
        (
            {"history_item": [], "history_days": None},
            {"history_item": None, "history_days": []},
        ),
    ],
)
def test_equal_values_get_equal_predictions(
    ask: Ask, changed: dict[str, Any], same_as: dict[str, Any]
) -> None:
    rows = [{**ROW, **changed}, {**ROW, **same_as}]
    status, answer = ask("POST", PREDICT, {"instances": rows})
    assert status == 200, answer
    first, second = answer["predictions"]
    assert first == pytest.approx(second, abs=1e-6)


def test_every_feature_matters(ask: Ask) -> None:
    base = ask("POST", PREDICT, {"instances": [ROW]})[1]["predictions"][0]
    for name in ROW:
        row = {**ROW, name: None}
        if name.startswith("history"):
            row |= {"history_item": None, "history_days": None}
        status, answer = ask("POST", PREDICT, {"instances": [row]})
        assert status == 200
        assert answer["predictions"][0] != base, name


def test_nan_token_is_a_missing_number(ask: Ask) -> None:
    null = ask("POST", PREDICT, {"instances": [{**ROW, "age": None}]})
    text = json.dumps({"instances": [{**ROW, "age": 1.25}]}).replace("1.25", "NaN")
    body = text.encode()
    assert ask("POST", PREDICT, body) == null


def test_signature_name_and_version(ask: Ask) -> None:
    plain = ask("POST", PREDICT, {"instances": [ROW]})
    for name in ("", "serving_default"):
        body = {"signature_name": name, "instances": [ROW]}
        assert ask("POST", PREDICT, body) == plain
    versioned = "/v1/models/shop/versions/1:predict"
    assert ask("POST", versioned, {"instances": [ROW]}) == plain


def test_status(ask: Ask) -> None:
    expected = {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert ask("GET", "/v1/models/shop") == (200, expected)
    assert ask("GET", "/v1/models/shop/versions/1") == (200, expected)


def test_metadata(ask: Ask) -> None:
    status, answer = ask("GET", "/v1/models/shop/metadata")
    assert status == 200
    assert answer["model_spec"] == {
        "name": "shop",
        "signature_name": "",
        "version": "1",
    }
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert list(signature["inputs"]) == list(ROW)
    look = signature["inputs"]["look"]
    assert look["dtype"] == "DT_FLOAT"
    assert [d["size"] for d in look["tensor_shape"]["dim"]] == ["-1", "3"]
    assert signature["inputs"]["item_id"]["dtype"] == "DT_STRING"
    assert list(signature["outputs"]) == ["click", "conversion"]


def test_health(ask: Ask) -> None:
    assert ask("GET", "/livez") == (200, {"live": True})
    assert ask("GET", "/readyz") == (200, {"ready": True, "state": "AVAILABLE"})


def test_not_ready_before_the_model_is_loaded() -> None:
    ask = asker(None, "shop", state="LOADING")
    assert ask("GET", "/livez")[0] == 200
    assert ask("GET", "/readyz") == (503, {"ready": False, "state": "LOADING"})
    status, answer = ask("GET", "/v1/models/shop")
    assert status == 200
    assert answer["model_version_status"][0]["state"] == "LOADING"
    expected = (503, {"error": "shop is LOADING"})
    assert ask("POST", PREDICT, {"instances": [ROW]}) == expected


def test_predictions_are_those_of_the_model(ask: Ask, full_model: Any) -> None:
    from serving.values import pack_columns

    arrays, _ = pack_columns(full_model.specification, by_column(ROWS))
    expected = full_model.predict(arrays)
    answer = ask("POST", PREDICT, {"inputs": by_column(ROWS)})[1]["outputs"]
    for task, values in expected.items():
        np.testing.assert_array_equal(np.float32(answer[task]), values)
