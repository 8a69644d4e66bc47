"""Every bad request gets a 4xx answer that says what was found and expected."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.serving.conftest import asker
from tests.serving.models import ROW

Ask = Callable[..., tuple[int, Any]]
PREDICT = "/v1/models/shop:predict"


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ROW.items() if key != name}


VALUES: list[tuple[str, Any, str]] = [
    ("age", "old", 'expected a number, found the text "old"'),
    ("age", True, "expected a number, found true"),
    ("age", [1.0], "expected a number, found a list of 1"),
    ("age", {}, "expected a number, found an object with 0 member(s)"),
    ("age", 10**400, "found an integer of thousands of digits"),
    ("price", 1e39, "expected a finite number that fits 32 bits"),
    ("item_id", 7.5, "expected an integer, found the number 7.5"),
    ("item_id", "seven", 'expected an integer, found the text "seven"'),
    ("item_id", 2**63, "expected an integer that fits 64 bits"),
    ("item_id", False, "expected an integer, found false"),
    ("item_id", [7], "expected an integer, found a list of 1"),
    ("user_id", 1.5, "expected text or an integer, found the number 1.5"),
    ("user_id", {"b64": "!"}, "expected base64 of UTF-8 text"),
    ("user_id", {"b64": "/w=="}, "expected base64 of UTF-8 text"),
    ("user_id", "\ud800", "expected valid Unicode text"),
    ("tags", "red", 'expected a list of texts, found the text "red"'),
    ("tags", ["a", ["b"]], "found a list of 1 at position 1"),
    ("tags", {"b64": "YQ=="}, "expected a list of texts"),
    ("look", [1, 2], "expected a list of 3 numbers, found a list of 2"),
    ("look", [1, 2, 3, 4], "expected a list of 3 numbers, found a list of 4"),
    ("look", [1, None, 3], "found a list with 1 missing value(s)"),
    ("look", [1, "x", 3], 'found the text "x" at position 1'),
    ("history_item", [1, 2], "as long as that of 'history_item', which has 2"),
    ("history_item", [1, 2, "x"], 'found the text "x" at position 2'),
    ("history_days", [1], "found a list of 1"),
    ("history_days", None, "found a list of 0"),
]


@pytest.mark.parametrize(("name", "value", "text"), VALUES)
def test_bad_value(ask: Ask, name: str, value: Any, text: str) -> None:
    body = json.dumps({"instances": [ROW, {**ROW, name: value}, ROW]}).encode()
    status, answer = ask("POST", PREDICT, body)
    assert status == 400
    if "thousands" not in text:
        assert text in answer["error"]
    assert "instance 1" in answer["error"]
    (problem,) = answer["problems"]
    assert problem["instance"] == 1
    assert problem["feature"].split("_")[0] == name.split("_")[0]


@pytest.mark.parametrize("token", ["Infinity", "-Infinity", "1e999", "-1e39"])
@pytest.mark.parametrize("place", ["age", "history_days"])
def test_infinite_number(ask: Ask, token: str, place: str) -> None:
    row = {**ROW, "age": 1.5, "history_days": [1.0, 1.5, 2.0]}
    if place == "age":
        row["history_days"] = None
        row["history_item"] = None
    else:
        row["age"] = 0
    body = json.dumps({"instances": [row]}).replace("1.5", token).encode()
    status, answer = ask("POST", PREDICT, body)
    assert status == 400
    assert "a finite number that fits 32 bits" in answer["error"]
    assert answer["problems"][0]["feature"] == place


def test_missing_and_extra_features(ask: Ask) -> None:
    status, answer = ask("POST", PREDICT, {"instances": [without("age")]})
    assert status == 400
    assert answer["problems"] == [
        {
            "feature": "age",
            "instance": 0,
            "found": "no such member",
            "expected": "a number (null where it is missing)",
        }
    ]
    status, answer = ask("POST", PREDICT, {"instances": [{**ROW, "colour": 1}]})
    assert status == 400
    assert 'feature "colour"' in answer["error"]
    assert "an extra feature" in answer["error"]
    columns = {name: [value] for name, value in without("age").items()}
    status, answer = ask("POST", PREDICT, {"inputs": {**columns, "colour": [1]}})
    assert status == 400
    assert {p["feature"] for p in answer["problems"]} == {"age", "colour"}


def test_all_problems_are_listed_up_to_a_bound(ask: Ask) -> None:
    row = {**ROW, "age": "x", "price": "y", "item_id": 1.5}
    status, answer = ask("POST", PREDICT, {"instances": [row]})
    assert status == 400
    assert [p["feature"] for p in answer["problems"]] == ["item_id", "age", "price"]
    status, answer = ask("POST", PREDICT, {"instances": [row] * 100})
    assert status == 400
    assert answer["error"].startswith("300 problem(s) in the request")
    assert answer["error"].endswith("and 280 more")
    assert len(answer["problems"]) == 20


BODIES: list[tuple[bytes, str]] = [
    (b"", "The document is empty"),
    (b"{", "JSON Parse error"),
    (b"\xff\xfe", "not UTF-8"),
    (b"[" * 200_000, "JSON Parse error"),
    (b'{"instances": ' + b"9" * 10_000 + b"}", "JSON Parse error"),
    (b"[]", "found a list of 0"),
    (b'"x"', 'found the text "x"'),
    (b"{}", "found neither"),
    (b'{"instances": [], "inputs": {}}', "found both"),
    (b'{"instances": [], "rows": 1}', 'unknown key the text "rows"'),
    (b'{"instances": []}', "at least one instance"),
    (b'{"instances": {}}', "must be a list"),
    (b'{"instances": null}', "must be a list"),
    (b'{"instances": [1]}', "expected an object with a member for each feature"),
    (b'{"instances": [[]]}', "expected an object with a member for each feature"),
    (b'{"inputs": []}', "must be an object with a list for each feature"),
    (b'{"inputs": {}}', "no such member"),
    (b'{"signature_name": 1, "instances": []}', "must be text, found the number 1"),
    (b'{"signature_name": "x", "instances": []}', "not found in signature def"),
]


@pytest.mark.parametrize(("body", "text"), BODIES)
def test_bad_body(ask: Ask, body: bytes, text: str) -> None:
    status, answer = ask("POST", PREDICT, body)
    assert status == 400
    assert text in answer["error"]


def test_unequal_columns(ask: Ask) -> None:
    columns = {name: [value] for name, value in ROW.items()}
    status, answer = ask("POST", PREDICT, {"inputs": {**columns, "age": [1.0, 2.0]}})
    assert status == 400
    assert "the same number of instances" in answer["error"]
    assert "'age': 2" in answer["error"]
    empty: dict[str, list[Any]] = {name: [] for name in ROW}
    assert ask("POST", PREDICT, {"inputs": empty})[0] == 400
    status, answer = ask("POST", PREDICT, {"inputs": {**columns, "age": 1.0}})
    assert status == 400
    assert answer["problems"][0]["found"] == "the number 1.0"


PATHS: list[tuple[str, str, int, str]] = [
    ("GET", "/v1/models/other", 404, "Servable not found for request: Latest(other)"),
    ("GET", "/v1/models/shop/versions/2", 404, "Specific(shop, 2)"),
    ("POST", "/v1/models/other:predict", 404, "Latest(other)"),
    ("POST", "/v1/models/shop/versions/2:predict", 404, "Specific(shop, 2)"),
    ("POST", "/v1/models/shop/versions/x:predict", 400, "Malformed request"),
    (
        "POST",
        f"/v1/models/shop/versions/{'9' * 5000}:predict",
        400,
        "Malformed request",
    ),
    ("POST", "/v1/models/shop:classify", 400, ":predict only"),
    ("POST", "/v1/models/shop", 400, "Malformed request: POST /v1/models/shop"),
    ("GET", "/v1/models/shop:predict", 400, "Malformed request"),
    ("PUT", "/v1/models/shop", 400, "Malformed request"),
    ("GET", "/", 400, "Malformed request: GET /"),
    ("GET", "/v1/models/../secret", 400, "Malformed request"),
]


@pytest.mark.parametrize(("method", "path", "status", "text"), PATHS)
def test_bad_path(ask: Ask, method: str, path: str, status: int, text: str) -> None:
    found, answer = ask(method, path)
    assert found == status
    assert text in answer["error"]


def test_limits(full_model: Any) -> None:
    ask = asker(full_model, "shop", body_bytes=2_000, instances=3, values=50)
    assert ask("POST", PREDICT, {"instances": [ROW] * 3})[0] == 200
    status, answer = ask("POST", PREDICT, b" " * 2_001)
    assert status == 413
    assert "larger than 2000 bytes" in answer["error"]
    status, answer = ask("POST", PREDICT, {"instances": [ROW] * 4})
    assert status == 400
    assert "4 instances, expected at most 3" in answer["error"]
    long = {**ROW, "tags": ["a"] * 30}
    status, answer = ask("POST", PREDICT, {"instances": [long, ROW]})
    assert status == 400
    assert "at most 50 values after padding" in answer["error"]


def test_no_more_pending_requests(full_model: Any) -> None:
    ask = asker(full_model, "shop", pending=0)
    status, answer = ask("POST", PREDICT, {"instances": [ROW]})
    assert status == 429
    assert "try again later" in answer["error"]


def test_overflow_is_the_requests_fault(single_model: Any) -> None:
    import numpy as np

    class Overflowing:
        specification = single_model.specification

        def predict(self, arrays: Any) -> Any:
            return {"click": np.array([0.5, np.nan], np.float32)}

    ask = asker(Overflowing(), "tiny")
    body = {"instances": ["a", "b"]}
    status, answer = ask("POST", "/v1/models/tiny:predict", body)
    assert status == 400
    assert "instance 1: the model overflows" in answer["error"]
