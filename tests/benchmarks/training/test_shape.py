import pytest

from benchmarks.training import shape


def test_tables_have_the_rows_that_they_are_named_for() -> None:
    for total in shape.SIZES.values():
        sizes = shape.table_sizes(total)
        assert len(sizes) == shape.CATEGORICAL
        assert sum(sizes) == total
        assert sizes == sorted(sizes)


def test_a_total_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of a million"):
        shape.table_sizes(1_500_000)


def test_operations_of_a_step_by_hand() -> None:
    forward = 3 * 429 * 429 + 429 * 400 + 2 * 400 * 400 + 829
    assert shape.flops_per_step() == 3 * 2 * 4096 * forward
