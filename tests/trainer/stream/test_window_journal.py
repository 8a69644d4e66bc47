"""The ends of windows: what is read again after a crash, and what is not."""

from pathlib import Path

import pytest

from configs import CheckpointError
from trainer.stream.window_journal import WindowEnd, WindowJournal


def end(window: int, start: dict, position: dict) -> WindowEnd:
    return WindowEnd(window=window, rows=4, start=start, position=position)


def at(row: int) -> dict:
    return {"set": "00000000", "row": row}


CHAIN = [end(k, at(4 * k) if k else {}, at(4 * k + 4)) for k in range(4)]


@pytest.fixture
def journal(tmp_path: Path) -> WindowJournal:
    journal = WindowJournal(tmp_path / "windows.jsonl")
    for one in CHAIN:
        journal.append(one)
    return journal


def test_windows_behind_a_checkpoint_are_read_again(journal: WindowJournal) -> None:
    assert journal.after(0, {}) == CHAIN
    assert journal.after(2, at(8)) == CHAIN[2:]
    assert journal.after(4, at(16)) == []
    assert journal.before(2) == CHAIN[:2]


def test_windows_of_other_weights_are_not(journal: WindowJournal) -> None:
    """A batch run went on in between, and the stream begins elsewhere."""
    assert journal.after(0, at(100)) == []
    assert journal.after(1, at(100)) == []


def test_partitions_that_came_since_are_no_other_place(tmp_path: Path) -> None:
    journal = WindowJournal(tmp_path / "windows.jsonl")
    journal.append(end(0, {"t": {"0": 5, "1": 7}}, {"t": {"0": 9, "1": 7}}))
    assert len(journal.after(0, {"t": {"0": 5}})) == 1
    assert journal.after(0, {"t": {"0": 6}}) == []


def test_half_a_line_is_no_window(journal: WindowJournal, tmp_path: Path) -> None:
    file = tmp_path / "windows.jsonl"
    file.write_text(file.read_text()[:-9])
    assert journal.after(0, {}) == CHAIN[:3]
    journal.keep(journal.after(0, {}))
    journal.append(CHAIN[3])
    assert WindowJournal(file).after(0, {}) == CHAIN


def test_a_damaged_file_is_an_error(journal: WindowJournal, tmp_path: Path) -> None:
    file = tmp_path / "windows.jsonl"
    file.write_text("{}\n" + file.read_text())
    with pytest.raises(CheckpointError, match="Remove the file to go on"):
        journal.after(0, {})


def test_ends_that_cannot_be_read_again_give_way(journal: WindowJournal) -> None:
    other = end(2, at(8), at(99))
    journal.append(other)
    assert journal.after(0, {}) == [*CHAIN[:2], other]


def test_what_no_checkpoint_needs_is_forgotten(journal: WindowJournal) -> None:
    journal.forget_before(2)
    assert journal.before(9) == CHAIN[2:]
    journal.append(end(4, at(16), at(20)))
    assert len(journal.before(9)) == 3
