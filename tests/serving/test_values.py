"""Packing of values, beyond what the server's tests show."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.specification import Column, Specification
from serving.values import columns_of_rows, pack_columns


def specification(**columns: dict[str, Any]) -> Specification:
    return Specification(
        name="m",
        fingerprint="f",
        columns=[Column(name=name, **values) for name, values in columns.items()],
        outputs=["click"],
    )


NUMBER = specification(x={"type": "number"})
NUMBERS = specification(x={"type": "number", "is_list": True})
TEXTS = specification(x={"type": "string", "is_list": True})
VECTOR = specification(x={"type": "number", "is_list": True, "length": 2})


def pack(form: Specification, values: list[Any], **options: Any) -> Any:
    arrays, problems = pack_columns(form, {"x": values}, **options)
    return arrays["x"], problems


def test_numbers_become_float32_and_null_nan() -> None:
    array, problems = pack(NUMBER, [1, 2.5, None, -0.0, 16_777_217])
    assert not problems
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, np.float32([1, 2.5, np.nan, -0.0, 2**24]))


def test_lists_are_padded_on_the_right() -> None:
    array, problems = pack(NUMBERS, [[1.0], None, [2.0, None, 4.0]])
    assert not problems
    nan = np.nan
    expected = [[1, nan, nan], [nan, nan, nan], [2, nan, 4]]
    np.testing.assert_array_equal(array, np.float32(expected))
    array, _ = pack(TEXTS, [["é"], ["a", None]])
    assert array.tolist() == [["é".encode(), b""], [b"a", b""]]


def test_lists_are_at_least_one_wide() -> None:
    assert pack(TEXTS, [None, []])[0].tolist() == [[b""], [b""]]


def test_each_bad_vector_is_named_once() -> None:
    values: list[Any] = [[1, 2], [1], None, [1, "x"], [], [1, None], [1, 2, 3]]
    _, problems = pack(VECTOR, values)
    assert sorted(problem.row for problem in problems) == [1, 3, 5, 6]
    array, problems = pack(VECTOR, [[1, 2], None, [], [None, None]])
    assert not problems
    assert np.isnan(array[1:]).all()


def test_padding_is_bounded() -> None:
    assert not pack(TEXTS, [["a"] * 5, ["b"]], max_values=10)[1]
    (problem,) = pack(TEXTS, [["a"] * 6, ["b"]], max_values=10)[1]
    assert problem.row is None
    assert "at most 10 values" in problem.expected


@given(
    values=st.lists(
        st.one_of(
            st.none(),
            st.integers(),
            st.booleans(),
            st.floats(),
            st.text(max_size=3),
            st.lists(st.one_of(st.none(), st.floats()), max_size=3),
        ),
        max_size=6,
    )
)
def test_bad_numbers_are_exactly_those_that_do_not_fit(values: list[Any]) -> None:
    array, problems = pack(NUMBER, values)
    bad = {problem.row for problem in problems}
    largest = float(np.finfo(np.float32).max) * (1 + 2**-25)  # rounds to finite
    for row, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = value is None or (number and not abs(value) >= largest)
        assert fits == (row not in bad)
        if fits:
            expected = math.nan if value is None else value
            np.testing.assert_array_equal(array[row], np.float32(expected))


def test_rows_at_fault_do_not_move_others() -> None:
    rows = [{"x": 1}, 5, {}, {"x": 2, "y": 3}, {"x": 4}]
    columns, problems = columns_of_rows(NUMBER, rows, allow_extra=False)
    assert columns == {"x": [1, None, None, 2, 4]}
    assert [problem.row for problem in problems] == [1, 2, 3]
    assert len(columns_of_rows(NUMBER, rows, allow_extra=True)[1]) == 2


def test_absent_feature_is_a_problem_and_null_is_missing() -> None:
    (problem,) = columns_of_rows(NUMBER, [{}], allow_extra=True)[1]
    assert str(problem) == (
        'instance 0, feature "x": expected a number (null where it is missing), found'
        " no such member"
    )
    assert not columns_of_rows(NUMBER, [{"x": None}], allow_extra=False)[1]


@pytest.mark.parametrize("count", [1, 3])
def test_alignment_is_checked_by_row(count: int) -> None:
    field = {"is_list": True, "aligned_with": "a"}
    form = specification(a={"type": "int64", **field}, b={"type": "number", **field})
    columns = {"a": [[1, 2]] * count, "b": [[0.5, 1.5]] * (count - 1) + [[1.0]]}
    _, (problem,) = pack_columns(form, columns)
    assert (problem.feature, problem.row) == ("b", count - 1)
    assert problem.found == "a list of 1"
