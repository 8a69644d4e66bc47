"""Which rows of late labels leave when, against a walk through all milliseconds."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.labels import Label
from configs.layout import EventKind
from preprocessing.observations import NEVER, Known, Observations, observations
from tests.oracles import observations as oracle

SHAPES: list[dict[str, str | None]] = [
    {"click": None},
    {"click": None, "buy": "click"},
    {"click": None, "like": None},
    {"click": None, "buy": "click", "review": "buy"},
    {"click": None, "like": None, "buy": "like"},
]
"""Labels by what they come after."""

LAST = 60
"""Milliseconds that a story lasts; all windows are shorter."""


@st.composite
def stories(draw: st.DrawFn) -> Any:
    """Labels with windows of any order, impressions, events and cuts of the time."""
    shape = draw(st.sampled_from(SHAPES))
    windows = st.one_of(st.none(), st.integers(0, 20))
    labels = {name: oracle.Label(draw(windows), after) for name, after in shape.items()}
    moments = st.integers(0, LAST - 25)
    times = draw(st.lists(st.integers(0, 20), min_size=1, max_size=4))
    impressions = [
        (
            time,
            {n: draw(st.integers(0, 1)) for n, o in labels.items() if o.window is None},
            {
                n: draw(st.lists(moments, max_size=3))
                for n, o in labels.items()
                if o.window is not None
            },
        )
        for time in times
    ]
    cuts = sorted(draw(st.sets(st.integers(0, LAST), max_size=6)) | {LAST})
    return labels, impressions, draw(st.integers(0, 22)), cuts


def job_with(labels: dict[str, oracle.Label]) -> Any:
    return SimpleNamespace(
        labels={
            name: Label(column=name, after=o.after)
            if o.window is None
            else Label(window=f"{o.window}ms", after=o.after)
            for name, o in labels.items()
        }
    )


def turned_at(labels: Any, impression: Any, until: int) -> list[int]:
    time, column, events = impression
    events = {n: [e for e in found if e <= until] for n, found in events.items()}
    found = oracle.first_counting(labels, time, column, events)
    return [NEVER if moment is None else moment for moment in found.values()]


class Stream:
    """Runs micro-batches over impressions that arrive in time, as the join does."""

    def __init__(self, labels: Any, observe: int, foresee: bool = False) -> None:
        self.labels, self.job, self.observe = labels, job_with(labels), observe
        self.foresee = foresee  # Whether events arrive before the watermark says so.
        self.rows: dict[int, list[oracle.Row]] = {}
        self.open: dict[int, tuple[bool, Any]] = {}
        self.before: int | None = None
        self.too_late = 0

    def run(self, arrived: Any, watermark: int) -> Observations:
        """One micro-batch; `arrived` are (number, time, turned) of the impressions."""
        start = (False, np.zeros(len(self.labels), bool))
        numbers = [n for n, *_ in arrived]
        state = [self.open.get(n, start) for n in numbers]
        shape = (len(numbers), len(self.labels))
        known = Known(
            times=np.array([time for _, time, _ in arrived], np.int64),
            turned=np.array([t for *_, t in arrived], np.int64).reshape(shape),
            seen=np.array([seen for seen, _ in state], bool),
            told=np.array([told for _, told in state], bool).reshape(shape),
        )
        found = observations(self.job, known, self.observe, self.before, watermark)
        for row, number in enumerate(found.rows):
            self.rows.setdefault(numbers[number], []).append(
                (
                    int(found.elapsed[row]),
                    int(found.kinds[row]),
                    tuple(found.label_kinds[row].tolist()),
                    tuple(found.labels[row].tolist()),
                )
            )
        self.too_late += int(found.too_late.sum())
        for place, number in enumerate(numbers):
            self.open[number] = (found.seen[place], found.told[place])
        self.before = watermark
        return found


@settings(max_examples=300, deadline=None)
@given(stories(), st.booleans())
def test_rows_are_those_of_the_walk_however_time_is_cut(
    story: Any, foresee: bool
) -> None:
    labels, impressions, observe, cuts = story
    stream, done = Stream(labels, observe), set()
    for cut in cuts:
        arrived = [
            (n, i[0], turned_at(labels, i, LAST if foresee else cut))
            for n, i in enumerate(impressions)
            if n not in done and (foresee or i[0] <= cut)
        ]
        found = stream.run(arrived, cut)
        # What is done with is not met again, and says nothing more.
        done |= {n for (n, *_), over in zip(arrived, found.done, strict=True) if over}
    for number, (time, column, events) in enumerate(impressions):
        expected = oracle.rows_of(labels, time, column, events, observe, LAST)
        assert stream.rows.get(number, []) == expected
    assert done == set(range(len(impressions)))
    assert stream.too_late == 0


@settings(max_examples=100, deadline=None)
@given(stories())
def test_each_impression_tells_each_label_once(story: Any) -> None:
    """The rules that losses rest on, said of the rows themselves."""
    labels, impressions, observe, cuts = story
    stream = Stream(labels, observe)
    for cut in cuts:
        stream.run(
            [(n, i[0], turned_at(labels, i, cut)) for n, i in enumerate(impressions)],
            cut,
        )
    for number, impression in enumerate(impressions):
        rows = stream.rows[number]
        assert [row[1] for row in rows].count(EventKind.FIRST) == 1
        assert rows[0][1] == EventKind.FIRST
        final = [moment < NEVER for moment in turned_at(labels, impression, LAST)]
        for column, positive in enumerate(final):
            kinds = [row[2][column] for row in rows]
            told = [k for k in kinds if k not in (EventKind.FIRST, EventKind.REPEATED)]
            settled = rows[0][2][column] == EventKind.SETTLED
            news = EventKind.LATE_POSITIVE if positive else EventKind.REAL_NEGATIVE
            assert told == [EventKind.SETTLED if settled else news]
            assert rows[-1][3][column] == positive


@settings(max_examples=200, deadline=None)
@given(stories(), st.data())
def test_events_behind_the_watermark_have_one_row_or_none(story: Any, data: Any):
    """Each event comes some batches late: a row then, unless its label was closed."""
    labels, impressions, observe, cuts = story
    lag = {
        (n, name, event): data.draw(st.integers(0, 25))
        for n, (_, _, events) in enumerate(impressions)
        for name, moments in events.items()
        for event in moments
    }
    stream = Stream(labels, observe)
    for cut in [*cuts, LAST + 30]:
        arrived = []
        for n, (time, column, events) in enumerate(impressions):
            if time <= cut:
                known = {
                    name: [e for e in moments if e + lag[n, name, e] <= cut]
                    for name, moments in events.items()
                }
                turned = turned_at(labels, (time, column, known), cut)
                arrived.append((n, time, turned))
        stream.run(arrived, cut)
    for rows in stream.rows.values():
        for column in range(len(labels)):
            kinds = [row[2][column] for row in rows]
            values = [row[3][column] for row in rows]
            assert values == sorted(values)
            told = [k for k in kinds if k not in (EventKind.FIRST, EventKind.REPEATED)]
            assert len(told) == 1
            assert (told[0] == EventKind.REAL_NEGATIVE) <= (values[-1] == 0)
        names = list(labels)
        for name, label in labels.items():
            if label.after is not None:
                for row in rows:
                    assert row[3][names.index(name)] <= row[3][names.index(label.after)]


def one(labels: Any, time: int, turned: list[int], observe: int, end: int) -> Any:
    stream = Stream(labels, observe)
    stream.run([(0, time, turned)], end)
    return stream.rows.get(0, [])


def test_a_day_in_the_life_of_an_impression():
    labels = {"click": oracle.Label(30), "buy": oracle.Label(700, "click")}
    first = (5, EventKind.FIRST, (0, 0), (0, 0))
    assert one(labels, 100, [NEVER, NEVER], 5, 104) == []
    assert one(labels, 100, [NEVER, NEVER], 5, 129) == [first]
    # Without a click the purchase is decided with it.
    assert one(labels, 100, [NEVER, NEVER], 5, 900) == [
        first,
        (30, EventKind.REAL_NEGATIVE, (2, 2), (0, 0)),
    ]
    clicked = (20, EventKind.LATE_POSITIVE, (1, 3), (1, 0))
    assert one(labels, 100, [120, NEVER], 5, 900) == [
        first,
        clicked,
        (700, EventKind.REAL_NEGATIVE, (3, 2), (1, 0)),
    ]
    assert one(labels, 100, [120, 500], 5, 900) == [
        first,
        clicked,
        (400, EventKind.LATE_POSITIVE, (3, 1), (1, 1)),
    ]
    # A click that is known at first is settled, and the purchase is not.
    assert one(labels, 100, [103, NEVER], 5, 200) == [
        (5, EventKind.FIRST, (4, 0), (1, 0))
    ]


def test_an_event_after_the_closing_changes_nothing_and_is_counted():
    labels = {"click": oracle.Label(30), "like": oracle.Label(700)}
    stream = Stream(labels, 5)
    stream.run([(0, 100, [NEVER, NEVER])], 140)
    found = stream.run([(0, 100, [125, NEVER])], 300)
    assert len(found.rows) == 0 and found.too_late.tolist() == [[True, False]]
    stream = Stream(labels, 5)
    stream.run([(0, 100, [NEVER, NEVER])], 120)
    stream.run([(0, 100, [110, NEVER])], 300)
    assert stream.rows[0][1:] == [(21, EventKind.LATE_POSITIVE, (1, 3), (1, 0))]


@pytest.mark.parametrize("observe", [0, 30])
def test_no_impressions_leave_nothing(observe: int):
    stream = Stream({"click": oracle.Label(30)}, observe)
    assert len(stream.run([], 100).rows) == 0


def test_what_was_told_is_not_told_again_by_another_event():
    """Of an impression that is done with its own events are not read again."""
    labels = {"click": oracle.Label(30), "buy": oracle.Label(700, "click")}
    stream = Stream(labels, 5)
    stream.run([(0, 100, [110, 115])], 120)
    found = stream.run([(0, 100, [125, NEVER])], 300)
    assert len(found.rows) == 0 and found.told.all() and found.done.all()
    assert not found.too_late.any()
