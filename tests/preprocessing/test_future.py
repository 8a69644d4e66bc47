"""Records stamped in the future close no window."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from configs import DataError, Job
from preprocessing.dead_letters import check_share
from preprocessing.fields import IMPRESSIONS, fields_by_log
from preprocessing.future import refuse_future
from preprocessing.normalize import REASON, RECORD, normalize
from preprocessing.reasons import REASONS
from tests.preprocessing.making_jobs import (
    bytes_of,
    impression,
    random_logs,
    run,
    small_job,
    write_logs,
)

AHEAD = 4_102_444_800_000
"""The year 2100."""


def set_of(folder: Path) -> dict[str, str]:
    """What the examples are, without the account of the logs."""
    return {
        path: digest
        for path, digest in bytes_of(folder).items()
        if not path.startswith(("manifest", "dead_letters", "job"))
    }


def test_a_clock_that_runs_ahead_closes_no_window(tmp_path: Path) -> None:
    shown, clicks, conversions = random_logs(3)
    write_logs(tmp_path, (shown, clicks, conversions))
    job = small_job(tmp_path)
    expected = run(job)
    wanted = set_of(Path(job.data.examples))
    assert expected.counters["impressions.withheld"] > 0
    ahead = impression(999, AHEAD)
    late = {"click": "late", "impression": "i1", "time": AHEAD + 1}
    write_logs(tmp_path, ([*shown, ahead], [*clicks, late], conversions))
    manifest = run(job)
    assert set_of(Path(job.data.examples)) == wanted
    added = {"impressions.future_time": 1, "events.click.future_time": 1}
    assert manifest.dead_letters == expected.dead_letters | added
    [letter] = Path(job.data.examples).glob("dead_letters/impressions.future_time.*")
    kept = json.loads(letter.read_text())
    assert kept["reason"] == "future_time" and json.loads(kept["record"]) == ahead
    everything = run(small_job(tmp_path, "preprocessing.future=null"))
    assert not any("future" in name for name in everything.dead_letters)
    # Only the impression ahead is withheld now: it closed the windows of all others.
    assert everything.counters["impressions.withheld"] == 1


def reasons(job: Job, table: pa.Table, *, log: str = IMPRESSIONS) -> list[str]:
    """Why the rows of a table are dead, with a clock at 1,000 ms and 5 s allowed."""
    fields = refuse_future(fields_by_log(job), 1_000, "5s")[log]
    found = normalize(table, fields, from_text=False, record_of=str)
    dead = found.filter(pa.array([bool(code) for code in found[REASON].to_pylist()]))
    assert all(dead[RECORD].to_pylist())
    return [REASONS[code] for code in found[REASON].to_pylist()]


def test_the_allowance_is_the_last_time_that_counts(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    records = [impression(n, time) for n, time in enumerate((0, 6_000, 6_001, AHEAD))]
    records.append(impression(5, 6_001) | {"impression": None})
    table = pa.Table.from_pylist(records)
    late = ["future_time"] * 2
    assert reasons(job, table) == ["ok", "ok", *late, "invalid_id"]


def test_side_tables_may_hold_from_a_later_time_on(tmp_path: Path) -> None:
    job = small_job(
        tmp_path,
        f"data.tables.users={{path: {tmp_path}/users.jsonl, key: user, time: since}}",
        "features.age={kind: numeric, table: users}",
    )
    table = pa.Table.from_pylist([{"user": "u", "since": AHEAD, "age": 1.0}])
    assert reasons(job, table, log="tables.users") == ["ok"]


def test_the_error_says_what_to_look_at(tmp_path: Path) -> None:
    dead: Any = {"impressions.future_time": 5}
    counters: Any = {"impressions.read": 9, "impressions.carried_in": 0}
    with pytest.raises(DataError, match=r"preprocessing\.future. Check the unit"):
        check_share([IMPRESSIONS], counters, dead, 0.01, tmp_path)
