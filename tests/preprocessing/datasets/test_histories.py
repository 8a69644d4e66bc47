"""Histories against a plain loop over all behaviours."""

import numpy as np
import pytest

from preprocessing.datasets.histories import Histories

START = 1_000_000_000_000


def plain(events, user, time, length):
    """The last `length` (item, time) of the user strictly before `time`, oldest first;
    `events` are (user, time, item) in the order in which they were added."""
    earlier = [
        (t, n, i) for n, (u, t, i) in enumerate(events) if u == user and t < time
    ]
    return [(i, t) for t, _, i in sorted(earlier)[-length:]]


def answers(histories, users, times):
    found = histories.before(np.array(users), np.array(times))
    pairs = list(zip(found.items.tolist(), found.times.tolist(), strict=True))
    return [
        pairs[a:b] for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]


@pytest.mark.parametrize("length", [1, 3, 50])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_a_plain_loop_with_ties(length, seed) -> None:
    rng = np.random.default_rng(seed)
    histories = Histories(first_time=START, max_length=length)
    events = []
    for _ in range(4):
        # Few users and few moments, so that there are many ties.
        users, times = rng.integers(0, 5, 30), START + rng.integers(0, 12, 30)
        items = rng.integers(0, 1000, 30)
        histories.add(users, times, items)
        events += list(zip(users.tolist(), times.tolist(), items.tolist(), strict=True))
        asked = rng.integers(0, 6, 40), START + rng.integers(0, 14, 40)
        expected = [plain(events, u, t, length) for u, t in zip(*asked, strict=True)]
        assert answers(histories, *asked) == expected


def test_forgetting_changes_no_later_answer() -> None:
    rng = np.random.default_rng(0)
    users, times = rng.integers(0, 20, 2_000), START + rng.integers(0, 1_000, 2_000)
    items = rng.integers(0, 1000, 2_000)
    all_kept = Histories(first_time=START, max_length=4)
    forgetful = Histories(first_time=START, max_length=4)
    for histories in (all_kept, forgetful):
        histories.add(users, times, items)
    forgetful.forget_before(START + 600)
    assert len(forgetful) < len(all_kept)
    asked = rng.integers(0, 20, 500), START + rng.integers(600, 1_001, 500)
    assert answers(forgetful, *asked) == answers(all_kept, *asked)


def test_nothing_known_gives_empty_lists() -> None:
    histories = Histories(first_time=START, max_length=4)
    histories.forget_before(START + 1)
    assert answers(histories, [0, 7], [START + 5, START + 6]) == [[], []]
