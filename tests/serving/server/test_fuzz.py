"""Whatever a client sends, the answer is 200 or 4xx, and JSON."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.models import ROW

Ask = Callable[..., tuple[int, Any]]
PREDICT = "/v1/models/shop:predict"

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(10**400), max_value=10**400),
    st.floats(),  # NaN and infinities too: Python writes them as tokens
    st.text(max_size=8),
    st.sampled_from(["", "7", "-0", "\ud800", "\x00", "NaN"]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from([*ROW, "b64", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)
CHANGES = st.dictionaries(st.sampled_from([*ROW, "x"]), ANYTHING, max_size=4)
MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def check(ask: Ask, body: bytes) -> None:
    status, answer = ask("POST", PREDICT, body)
    assert status == 200 or (400 <= status < 500 and answer["error"])


@MANY
@given(rows=st.lists(CHANGES, min_size=1, max_size=3), columns=st.booleans())
def test_changed_requests(ask: Ask, rows: list[dict[str, Any]], columns: bool) -> None:
    full = [{**ROW, **changes} for changes in rows]
    document: dict[str, Any] = {"instances": full}
    if columns:
        names = {name for row in full for name in row}
        document = {"inputs": {n: [row.get(n) for row in full] for n in names}}
    check(ask, json.dumps(document).encode())


@MANY
@given(key=st.sampled_from(["instances", "inputs", "x"]), value=ANYTHING)
def test_any_document(ask: Ask, key: str, value: Any) -> None:
    check(ask, json.dumps({key: value}).encode())


@MANY
@given(body=st.binary(max_size=60))
def test_any_bytes(ask: Ask, body: bytes) -> None:
    check(ask, body)
