"""Windows are a function of what lies in the topic, not of how it arrives."""

from bisect import bisect_left

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.preprocess import DeadLetters
from tests.oracles.partition_merge import merge
from trainer.inputs.dead_messages import DeadMessages
from trainer.inputs.kafka_reader import Arrived
from trainer.inputs.kafka_source import KafkaSource, Windows
from trainer.inputs.partition_merge import Block

GAP = 3
"""Between offsets: marks of transactions lie there."""

TOPICS = st.dictionaries(
    st.integers(0, 4),
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=10),
    min_size=1,
    max_size=3,
)
"""Timestamps by partition, and whether a message is an example."""


class Topic:
    """Stands in for `TopicReader`: hands out messages as `cuts` says."""

    def __init__(self, partitions, cuts):
        self.blocks = {}
        for partition, messages in partitions.items():
            offsets = [GAP * k for k in range(len(messages))]
            times = [time for time, _ in messages]
            values = [
                b"%d %d" % (partition, k) if good else b"poison"
                for k, (_, good) in enumerate(messages)
            ]
            self.blocks[partition] = Block(offsets, times, values)
        self.next = {}
        self.paused = set()
        self.cuts = cuts

    def connect(self):
        return sorted(self.blocks)

    def bounds(self, partition):
        return 0, GAP * len(self.blocks[partition].offsets)

    known_end = None

    def assign(self, offsets):
        self.next = dict(offsets)

    def pause(self, partitions):
        self.paused = partitions

    def read(self, count, wait):
        arrived = Arrived()
        for partition, block in self.blocks.items():
            if partition in self.paused:
                continue
            first = bisect_left(block.offsets, self.next[partition])
            stop = first + (self.cuts.pop() if self.cuts else 1)
            for place in range(first, min(stop, len(block.offsets))):
                taken = arrived.blocks[partition]
                taken.offsets.append(block.offsets[place])
                taken.times.append(block.times[place])
                taken.values.append(block.values[place])
            if stop > first:
                self.next[partition] = GAP * min(stop, len(block.offsets))
            if stop > len(block.offsets):
                arrived.dry[partition] = self.bounds(partition)[1]
        return arrived


class Words:
    """Stands in for `Screen`."""

    def problems(self, values):
        found = enumerate(values)
        return {k: ("bad", "poison") for k, value in found if value == b"poison"}

    def batches(self, serialized):
        values = serialized.numpy().tolist()
        return None if self.problems(values) else [({"rows": serialized},)]


def windows_of(partitions, cuts, rows, folder, ends=None, position=None):
    dead = DeadMessages(folder / "none.jsonl", DeadLetters(max_share=1.0, max_kept=0))
    chosen = Windows(rows=rows, wait=60.0, until_end=True)
    source = KafkaSource(Topic(partitions, cuts), "t", chosen, Words(), dead)
    source.open(position or {})
    found = []
    for end in ends or [None] * 100:
        window = source.next_window(10.0, end)
        if window is None:
            break
        found.append(window)
    assert ends or source.ended
    return found


def values_of(windows):
    return [window.serialized.numpy().tolist() for window in windows]


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(TOPICS, st.lists(st.integers(0, 4), max_size=30), st.integers(1, 6), st.data())
def test_windows_do_not_depend_on_how_messages_arrive(
    tmp_path, topic, cuts, rows, data
):
    found = windows_of(topic, cuts, rows, tmp_path)
    # By the rule: each window merges anew what is left of the good messages.
    left = {
        p: [
            (time, b"%d %d" % (p, k)) for k, (time, good) in enumerate(messages) if good
        ]
        for p, messages in topic.items()
    }
    expected = []
    while any(left.values()):
        order = merge({p: [time for time, _ in rest] for p, rest in left.items()})[
            :rows
        ]
        expected.append([left[p][place][1] for p, place in order])
        for p in left:
            left[p] = left[p][sum(one == p for one, _ in order) :]
    assert values_of(found) == expected
    # From any position on, and to ends that were noted, they are the same.
    start = data.draw(st.integers(0, len(found)))
    if start:
        position = found[start - 1].position
        again = windows_of(topic, [], rows, tmp_path, position=position)
        assert values_of(again) == expected[start:]
    if found:
        ends = [window.position for window in found]
        again = windows_of(topic, [2] * 9, 99, tmp_path, ends=ends)
        assert values_of(again) == expected
        bad = sum(not good for messages in topic.values() for _, good in messages)
        counted = sum(sum(window.counters.values()) for window in again)
        assert counted <= bad
