"""The fixed rule by which partitions are merged."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.partition_merge import merge
from trainer.inputs.partition_merge import Buffer, merged_order, ready_rows

PARTITIONS = st.dictionaries(
    st.integers(0, 5), st.lists(st.integers(0, 8), max_size=12), min_size=1, max_size=4
)


def filled(times: dict[int, list[int]], counts: dict[int, int], dry: bool = True):
    buffers = {}
    for partition, stamps in times.items():
        buffer = buffers[partition] = Buffer(position=0, read=0)
        for offset, time in enumerate(stamps[: counts[partition]]):
            buffer.extend([2 * offset], [time], [b"%d %d" % (partition, offset)])
            buffer.read = 2 * offset + 1
        buffer.dry = dry and counts[partition] == len(stamps)
    return buffers


def lengths(times):
    return {partition: len(stamps) for partition, stamps in times.items()}


def as_values(order):
    return [b"%d %d" % place for place in order]


@settings(deadline=None)
@given(PARTITIONS, st.integers(1, 40))
def test_the_order_is_that_of_taking_the_earliest_first_message(times, rows):
    buffers = filled(times, lengths(times))
    counts, holder = ready_rows(buffers)
    assert holder is None and counts == lengths(times)
    values, taken = merged_order(buffers, counts, rows)
    assert values == as_values(merge(times)[:rows])
    assert sum(taken.values()) == len(values)


@settings(deadline=None)
@given(PARTITIONS, st.data())
def test_what_is_ready_does_not_depend_on_what_has_come_yet(times, data):
    come = {p: data.draw(st.integers(0, len(stamps))) for p, stamps in times.items()}
    buffers = filled(times, come)
    counts, holder = ready_rows(buffers)
    values, _ = merged_order(buffers, counts, 10**6)
    assert values == as_values(merge(times)[: len(values)])
    if holder is not None:
        assert come[holder] <= len(times[holder]) and not buffers[holder].at_end


@settings(deadline=None)
@given(PARTITIONS, st.integers(1, 7))
def test_windows_are_the_same_whatever_was_read_ahead(times, rows):
    def windows(ahead: int):
        counts, made = dict.fromkeys(times, 0), []
        buffers = filled(times, counts)
        while True:
            ready, holder = ready_rows(buffers)
            if sum(ready.values()) >= rows or holder is None:
                values, taken = merged_order(buffers, ready, rows)
                if not values:
                    return made
                made.append(values)
                for partition, buffer in buffers.items():
                    buffer.take(taken[partition])
                continue
            for partition in {holder, *list(times)[:ahead]}:
                place = counts[partition]
                stamps = times[partition]
                buffer = buffers[partition]
                if place == len(stamps):
                    buffer.dry = True
                else:
                    value = b"%d %d" % (partition, place)
                    buffer.extend([place], [stamps[place]], [value])
                    buffer.read = counts[partition] = place + 1

    assert windows(0) == windows(1) == windows(9)


def test_positions_pass_what_was_put_aside_and_stop_at_the_next_message():
    buffer = Buffer(position=3, read=3)
    for offset, time in ((3, 5), (7, 4), (8, 9)):
        buffer.extend([offset], [time], [b"x"])
    buffer.dead = [(4, "unreadable"), (6, "empty"), (9, "empty")]
    buffer.read = 10
    assert buffer.keys.tolist() == [5, 5, 9]
    assert buffer.take(1) == {"unreadable": 1, "empty": 1}
    assert (buffer.position, buffer.offsets) == (7, [7, 8])
    assert buffer.keys.tolist() == [4, 9]  # counted from the window's start
    assert buffer.take(2) == {"empty": 1}
    assert buffer.position == 10
