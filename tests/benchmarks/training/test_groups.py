from benchmarks.training.speed import groups_within
from benchmarks.training.workers import SYSTEMS

ALL = list(SYSTEMS)


def test_everything_fits_together_in_enough_memory() -> None:
    (group,) = groups_within(ALL, 1_000_000, 1e9)
    assert sorted(group) == sorted(ALL)


def test_where_memory_is_short_ours_is_in_every_group() -> None:
    total = 16_000_000
    groups = groups_within(ALL, total, 21_000)
    assert len(groups) > 1
    for group in groups:
        assert group[0] == "ours"
        assert sum(SYSTEMS[name].needs(total) for name in group) <= 21_000
    others = [name for group in groups for name in group if name != "ours"]
    assert sorted(others) == sorted(set(ALL) - {"ours"})
