"""Side tables for the logs of the benchmark, and the job that reads them.

Users and items have ten rows each, from ten times of the log's days on. Held whole by
every worker, or cut into buckets by their keys: the examples are the same.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from configs.durations import DAY_MS, moment_ms
from configs.manifest import read_manifest

__all__ = ["KINDS", "check_equal", "overrides", "write_tables"]

KINDS = ("broadcast", "bucketed")
"""How the tables meet the impressions."""

_ROWS = 10
"""Of each key."""

_BUCKETS = "embedding: {buckets: 4096}"
_FEATURES = {
    "income": "{kind: numeric, group: user, table: users, transform: log1p}",
    "city": f"{{kind: categorical, group: user, table: users, {_BUCKETS}}}",
    "maker": f"{{kind: categorical, group: item, table: items, {_BUCKETS}}}",
    "words": f"{{kind: multi_valued, group: item, table: items, {_BUCKETS}}}",
}


def write_tables(logs: Path) -> dict[str, int]:
    """Writes the tables of all users and items of a log; returns their rows."""
    random = np.random.default_rng(1)
    keys: dict[str, set[str]] = {"user_id": set(), "item_id": set()}
    for path in sorted(logs.glob("impressions-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            for name, found in keys.items():
                found.add(record[name])
    rows = {}
    for table, key in (("users", "user_id"), ("items", "item_id")):
        repeated = np.repeat(sorted(keys[key]), _ROWS)
        count = rows[table] = len(repeated)
        since = moment_ms("2025-12-31") + random.integers(0, 9 * DAY_MS, count)
        words = pa.array([f"word {n}" for n in random.integers(0, 3000, 5 * count)])
        columns = {
            key: repeated,
            "since": since,
            "income": random.lognormal(10, 1, count),
            "city": [f"city {n}" for n in random.integers(0, 1000, count)],
            "maker": [f"maker {n}" for n in random.integers(0, 300, count)],
            "words": pa.ListArray.from_arrays(np.arange(count + 1) * 5, words),
        }
        shuffled = pa.table(columns).take(random.permutation(count))
        pq.write_table(shuffled, logs / f"{table}.parquet")
    return rows


def overrides(kind: str, folder: Path) -> list[str]:
    """Returns what the job with tables has besides."""
    tables = ", ".join(
        f"{table}: {{path: {folder}/logs/{table}.parquet, key: {key}, time: since}}"
        for table, key in (("users", "user_id"), ("items", "item_id"))
    )
    return [
        f"data.tables={{{tables}}}",
        *(f"features.{name}={text}" for name, text in _FEATURES.items()),
        f"preprocessing.broadcast_bytes={0 if kind == 'bucketed' else 2**40}",
        f"data.examples={folder}/examples-{kind}",
    ]


def check_equal(folder: Path) -> str:
    """Returns a sentence on the examples of both kinds.

    Raises:
        SystemExit: if they differ.
    """
    first, second = (read_manifest(folder / f"examples-{kind}") for kind in KINDS)
    if first.splits != second.splits or first.counters != second.counters:
        raise SystemExit("broadcast and bucketed tables gave other examples")
    rows = sum(split.rows for split in first.splits.values())
    found = first.counters["joins.users.found"] / first.counters["impressions.read"]
    return f"the same {rows:,} examples either way; {found:.1%} found their user"
