"""Records out of order, twice, late, and from the future: a rule and a counter each."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from configs import DataError, Job
from configs.manifest import Manifest
from configs.stream_sets import stream_sets
from preprocessing.stream.arrivals import Frozen
from preprocessing.stream.driver import StreamingJoin
from preprocessing.stream.folder import FolderArrivals
from preprocessing.stream.state import State
from tests.oracles import example_proto
from tests.preprocessing.making_jobs import Record, impression, small_job
from tests.preprocessing.stream.making_streams import read_all, rows_of_stream, totals

CLOCK = 1_000_000
"""Time of day in the tests, ms. Windows are 100 and 300 ms, the lateness 10."""


class Logs:
    """A small job, and its logs as they grow."""

    def __init__(self, root: Path, *overrides: str, **join: Any) -> None:
        section = {"state": f"{root}/state", "lateness": "10ms", "memory": "1s"} | join
        self.job: Job = small_job(
            root, f"stream.join={json.dumps(section)}", *overrides
        )
        self.root = root
        for name in ("impressions", "clicks", "conversions"):
            (root / f"{name}.jsonl").touch()

    def add(self, name: str, *records: Record | str) -> None:
        """Appends records, or lines as they are."""
        with open(self.root / f"{name}.jsonl", "a") as file:
            for record in records:
                line = record if isinstance(record, str) else json.dumps(record)
                file.write(f"{line}\n")

    def show(self, number: int, time: int) -> None:
        self.add("impressions", impression(number, time))

    def click(self, number: int, time: int, name: str | None = None) -> None:
        record = {"click": name or f"c{number}", "impression": f"i{number}"}
        self.add("clicks", record | {"time": time})

    def buy(self, number: int, time: int) -> None:
        record = {"conversion": f"v{number}", "click": f"c{number}", "time": time}
        self.add("conversions", record)

    def made(self, opened: type[FolderArrivals] = FolderArrivals) -> Manifest:
        """Joins what has been added, in one micro-batch."""
        state = State(self.job.stream.join.state)  # type: ignore[union-attr]
        with state.locked():
            stream = StreamingJoin(
                self.job, state, arrivals=opened(self.job), clock=lambda: CLOCK
            )
            manifest = stream.recover() or stream.step()
        assert manifest is not None
        return manifest

    def labels(self) -> dict[int, list[float]]:
        """Labels of all examples so far, by time."""
        found = {}
        for folder in stream_sets(self.job.data.examples).values():
            manifest = read_manifest(folder)
            for split in manifest.splits:
                for row in example_proto.read_split(str(folder), manifest, split):
                    time = int(row["event_time"][0])
                    assert time not in found, "an impression left twice"
                    found[time] = list(row["labels"])
        return found


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a set."""
    return Manifest.model_validate_json((folder / "manifest.json").read_text())


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


def test_rows_leave_when_their_labels_are_decided(logs: Logs) -> None:
    logs.show(1, 1000)  # neither
    logs.show(2, 1001)  # clicked
    logs.show(3, 1002)  # clicked and bought
    logs.click(2, 1050)
    logs.click(3, 1060)
    logs.buy(3, 1090)
    manifest = logs.made()
    assert manifest.stream is not None and manifest.stream.watermark_ms == 1079
    assert logs.labels() == {}
    logs.show(4, 1110)
    assert logs.made().counters["impressions.carried_out"] == 3
    assert logs.labels() == {1002: [1.0, 1.0]}  # nothing can undo the purchase
    logs.show(5, 1111)
    logs.made()
    assert logs.labels() == {1002: [1.0, 1.0], 1000: [0.0, 0.0]}
    logs.show(6, 1311)
    logs.made()
    assert 1001 not in logs.labels()  # may still be bought at 1301
    logs.show(7, 1312)
    logs.made()
    assert logs.labels()[1001] == [1.0, 0.0]


def test_out_of_order_within_lateness_changes_nothing(logs: Logs) -> None:
    logs.show(2, 1010)
    logs.show(1, 1001)
    logs.click(1, 1099)
    logs.click(2, 1095)
    manifest = logs.made()
    assert manifest.counters["streams.impressions.out_of_order"] == 1
    assert manifest.counters["streams.events.click.out_of_order"] == 1
    logs.click(1, 1090, "again")  # nine late
    logs.show(3, 2000)
    later = logs.made()
    assert later.counters["streams.events.click.out_of_order"] == 1
    assert later.counters["streams.events.click.late"] == 0
    assert logs.labels() == {1001: [1.0, 0.0], 1010: [1.0, 0.0]}


def test_duplicates_are_met_again_after_their_row_has_left(logs: Logs) -> None:
    logs.show(1, 1000)
    logs.click(1, 1050)
    logs.show(2, 1500)
    logs.made()
    assert logs.labels() == {1000: [1.0, 0.0]}
    logs.show(1, 1505)
    logs.click(1, 1506)
    manifest = logs.made()
    assert manifest.counters["impressions.duplicates"] == 1
    assert manifest.counters["events.click.duplicates"] == 1
    logs.show(3, 1700)
    logs.made()
    assert logs.labels() == {1000: [1.0, 0.0], 1500: [0.0, 0.0]}


def test_late_events_are_counted_and_change_no_row(logs: Logs) -> None:
    logs.show(1, 1000)
    logs.show(2, 1001)
    logs.click(2, 1002)
    logs.show(3, 1400)
    logs.made()
    logs.click(1, 1050)  # inside its window, and its row has left
    logs.click(2, 1060, "second")  # the label is 1 already
    logs.buy(1, 1051)
    logs.show(4, 1401)
    manifest = logs.made()
    assert manifest.counters["streams.events.click.late"] == 2
    assert manifest.counters["events.click.too_late"] == 1
    assert manifest.counters["events.click.joined"] == 1
    assert manifest.counters["events.conversion.not_after"] == 1
    assert logs.labels() == {1000: [0.0, 0.0], 1001: [1.0, 0.0]}
    assert not manifest.dead_letters


def test_a_late_impression_finds_the_events_that_waited(logs: Logs) -> None:
    logs.click(1, 1050)
    logs.show(2, 1400)
    assert logs.made().dead_letters == {"events.click.orphan": 1}
    logs.show(1, 1000)
    manifest = logs.made()
    assert manifest.counters["streams.impressions.late"] == 1
    assert logs.labels()[1000] == [1.0, 0.0]


def test_the_future_moves_no_window(logs: Logs) -> None:
    logs.show(1, 1000)
    logs.click(1, 1050)
    logs.show(2, CLOCK + 300_001)
    logs.click(3, CLOCK + 10**9)
    manifest = logs.made()
    assert manifest.dead_letters == {
        "events.click.future_time": 1,
        "impressions.future_time": 1,
    }
    assert manifest.stream is not None and manifest.stream.watermark_ms == 1039
    assert logs.labels() == {}


def test_poison_is_left_out_and_too_much_of_it_ends_the_stream(tmp_path: Path) -> None:
    logs = Logs(tmp_path, "preprocessing.dead_letters.max_share=0.05")
    for number in range(990):
        logs.show(number, 1000 + number)
    logs.add("impressions", *["{broken"] * 10)
    first = logs.made()
    assert first.dead_letters == {"impressions.unparsable": 10}
    logs.add("impressions", *["[]"] * 50)
    with pytest.raises(DataError, match="60 of 1,050 records"):
        logs.made()
    assert (tmp_path / "state/dead_letters/impressions.unparsable.jsonl").exists()
    assert len(stream_sets(logs.job.data.examples)) == 1
    # It goes on where it was, once more are allowed.
    logs.job = Logs(tmp_path, "preprocessing.dead_letters.max_share=0.06").job
    assert logs.made().dead_letters == {"impressions.unparsable": 50}


def test_what_is_forgotten_is_a_row_again(tmp_path: Path) -> None:
    logs = Logs(tmp_path, memory="50ms")
    logs.show(1, 1000)
    logs.show(2, 1400)  # the first was known until 1350
    logs.made()
    logs.show(1, 1401)
    logs.made()
    logs.show(3, 2000)
    logs.made()
    assert len(rows_of_stream(logs.job)) == 3


def test_a_stream_without_impressions_waits(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.click(1, 1000)
    assert logs.made().dead_letters == {}
    assert read_all(logs.job) == []
    logs.add("conversions", "no record")
    assert totals([logs.made()])["events.conversion.unparsable"] == 1


class Losing(FolderArrivals):
    """Goes on behind the first click that was not read, as where it had expired."""

    def freeze(self, positions: Mapping[str, int], max_records: int) -> Frozen:
        frozen = super().freeze(positions, max_records)
        ranges = dict(frozen.ranges)
        for name, part in frozen.ranges.items():
            if name in positions and name.endswith("clicks.jsonl"):
                lines = Path(name).read_bytes()[part.start : part.stop].splitlines(True)
                start = part.start + len(lines[0])
                ranges[name] = dataclasses.replace(part, start=start)
        return dataclasses.replace(frozen, ranges=ranges)


def test_what_was_gone_before_it_was_read_is_counted(logs: Logs) -> None:
    logs.show(1, 1000)
    logs.click(1, 1050)
    assert "streams.events.click.expired" not in logs.made(Losing).counters
    logs.click(2, 1100, "lost")
    logs.click(3, 1101, "left")
    lost = '{"click": "lost", "impression": "i2", "time": 1100}\n'
    manifest = logs.made(Losing)
    assert manifest.counters["streams.events.click.expired"] == len(lost)
    assert manifest.counters["events.click.read"] == 1
