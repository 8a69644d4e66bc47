"""Side tables against a slow oracle, on tables with ties, duplicates and deletions."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError, JobError
from preprocessing.fields import Field, key_field
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.side_tables import (
    JOIN_COUNTERS,
    join_table,
    sorted_rows,
    with_fingerprints,
)
from tests.oracles import as_of, example_proto
from tests.preprocessing.making_jobs import (
    bytes_of,
    impression,
    run,
    small_job,
    write_lines,
    write_logs,
)

Record = dict[str, Any]

AGE = Field(name="raw/users_age", column="age", kind="number")
CITY = Field(name="raw/users_city", column="city", kind="string")
TAGS = Field(name="raw/users_tags", column="tags", kind="string", is_list=True)
LIKES = Field(name="raw/users_likes", column="likes", kind="number", is_list=True)
FIELDS = [AGE, CITY, TAGS, LIKES]


def random_rows(chance: random.Random, count: int, keys: int = 6) -> list[Record]:
    """Rows with few keys and times, so that ties and late rows abound."""
    rows = []
    for number in range(count):
        row: Record = {
            "key": chance.choice([chance.randrange(keys), f"k{chance.randrange(keys)}"])
        }
        row |= {"since": chance.randrange(0, 1200, 30), "age": number + 0.5}
        row |= {"city": f"city {number % 5}", "tags": ["x", f"t{number}"][: number % 3]}
        row["likes"] = [float(number)] * (number % 4)
        if chance.random() < 0.2:
            row["gone"] = chance.choice([True, 1, "true"])
        rows.append(row)
        if chance.random() < 0.1:
            rows.append(dict(row))
    return rows


def _as_read(rows: list[Record]) -> pa.Table:
    return pa.table(
        {
            "key": pa.array([str(row["key"]) for row in rows], pa.string()),
            "time": pa.array([row["since"] for row in rows], pa.int64()),
            "deleted": pa.array(
                [int(bool(row.get("gone"))) for row in rows], pa.int8()
            ),
            AGE.name: pa.array([row["age"] for row in rows], pa.float64()),
            CITY.name: pa.array([row["city"] for row in rows], pa.string()),
            TAGS.name: pa.array([row["tags"] for row in rows], pa.list_(pa.string())),
            LIKES.name: pa.array(
                [row["likes"] for row in rows], pa.list_(pa.float64())
            ),
        }
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_row_as_of_a_time_equals_the_oracle(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (a test's)
    rows = random_rows(chance, chance.choice([0, 1, 5, 80]))
    keys = [
        chance.choice(["", 3, 4, "k1", "k2", "none", chance.randrange(6)])
        for _ in range(150)
    ]
    times = [chance.randrange(-10, 1300) for _ in keys]
    read = _as_read(rows)
    known = sorted_rows(
        with_fingerprints(read, fingerprints_of(read["key"].combine_chunks()))
    )
    texts = pa.array([str(key) for key in keys], pa.string())
    impressions = pa.table({"time": pa.array(times), key_field("users"): texts})
    counters: Counter[str] = Counter()
    joined = join_table(
        impressions, fingerprints_of(texts), "users", known, FIELDS, counters
    )
    expected: Counter[str] = Counter()
    for place, found in enumerate(joined.to_pylist()):
        what, row = as_of.look_up(rows, keys[place], times[place])
        expected[f"joins.users.{what}"] += 1
        if row is None:
            assert found[AGE.name] != found[AGE.name]
            assert (found[CITY.name], found[TAGS.name]) == ("", [])
            assert found[LIKES.name] == []
        else:
            assert [found[field.name] for field in FIELDS] == [
                row[field.column] for field in FIELDS
            ]
    assert {name: n for name, n in counters.items() if n} == expected
    assert {name.rpartition(".")[2] for name in counters} == set(JOIN_COUNTERS)


def test_without_a_table_nothing_is_known() -> None:
    impressions = pa.table({"time": [1], key_field("users"): ["a"]})
    counters: Counter[str] = Counter()
    keys = fingerprints_of(pa.array(["a"]))
    joined = join_table(impressions, keys, "users", None, FIELDS, counters)
    assert joined.to_pylist()[0][CITY.name] == ""
    assert joined.schema.field(LIKES.name).type == pa.list_(pa.float64())
    assert counters["joins.users.unknown_key"] == 1


TABLES = """
data.tables={
  users: {
    path: {root}/users-*.jsonl, key: key, matches: user_key, time: since, deleted: gone
  },
  items: {path: {root}/items.csv, key: item},
  shops: {path: {root}/shops.parquet, key: shop, time: {column: since, unit: ms}},
}
"""
FEATURES = {
    "age": "{kind: numeric, group: user, table: users}",
    "city": "{kind: categorical, group: user, table: users, embedding: {buckets: 10}}",
    "likes": "{kind: multi_valued, table: users, column: tags, shares: city}",
    "brand": "{kind: categorical, group: item, table: items, embedding: {buckets: 10}}",
    "look": "{kind: dense, group: item, table: items, length: 2}",
    "open": "{kind: numeric, table: shops, column: hours}",
}


def job_with_tables(root: Path, *overrides: str) -> Any:
    tables = " ".join(TABLES.replace("{root}", str(root)).split())
    features = [f"features.{name}={text}" for name, text in FEATURES.items()]
    return small_job(root, tables, *features, *overrides)


def write_tables(root: Path, seed: int) -> tuple[list[Record], list[Record]]:
    """Writes logs and tables; returns impressions and users, in order of reading."""
    chance = random.Random(seed)  # noqa: S311 (a test's)
    shown = [impression(n, chance.randrange(0, 1200)) for n in range(150)]
    for record in shown:
        record["user_key"] = chance.choice([None, "none", chance.randrange(6), "k1"])
        record["shop"] = chance.choice(["a", "b", "c"])
    shown.append(impression(900, 5000))  # closes every window
    shown[-1] |= {"user_key": 1, "shop": "a"}
    write_logs(root, (shown, [_click(3, shown[3]["time"])], []))
    write_lines(
        root / "conversions.jsonl", [{"conversion": "v", "click": "c3", "time": 1}]
    )
    users = random_rows(chance, 120)
    write_lines(root / "users-2.jsonl", users[70:])
    write_lines(root / "users-1.jsonl", users[:70])
    lines = ["item,brand,look", "item 0,zero,0|1", "item 1,one,1|2", "item 1,two,2|3"]
    (root / "items.csv").write_text("\n".join([*lines, "item 2,bad,1|2|3", ""]))
    shops = {"shop": ["a", "b", "a"], "since": [600, 0, 0], "hours": [9.0, 8.0, 7.0]}
    pq.write_table(pa.table(shops), root / "shops.parquet")
    return shown, users


def _click(number: int, time: int) -> Record:
    return {"click": f"c{number}", "impression": f"i{number}", "time": time}


def test_broadcast_and_bucketed_tables_give_the_oracles_examples(
    tmp_path: Path,
) -> None:
    shown, users = write_tables(tmp_path, 1)
    job = job_with_tables(tmp_path)
    manifest = run(job)
    _check_examples(job, manifest, shown, users)
    assert manifest.dead_letters["tables.items.wrong_length"] == 1
    first = bytes_of(Path(job.data.examples))
    # All of them; and the larger ones, in small blocks.
    for limit, block_bytes in ((0, 16 << 20), (1000, 12_000)):
        job = job_with_tables(tmp_path, f"preprocessing.broadcast_bytes={limit}")
        assert run(job, block_bytes=block_bytes).counters == manifest.counters
        found = bytes_of(Path(job.data.examples))
        assert {n for n in found if found[n] != first[n]} == {"job.yaml"}


def _check_examples(
    job: Any, manifest: Any, shown: list[Record], users: list[Record]
) -> None:
    expected = {}
    counts: Counter[str] = Counter()
    for record in shown:
        key, time = record["user_key"], record["time"]
        what, row = as_of.look_up(users, key, time)
        counts[f"joins.users.{what}"] += 1
        age = None if row is None else row["age"]
        tags = 0 if row is None else len(row["tags"][:32])
        look = {"item 0": [0.0, 1.0], "item 1": [2.0, 3.0]}.get(record["item"], [0, 0])
        hours = {"a": 7.0 if time < 600 else 9.0, "b": 8.0}.get(record["shop"])
        number = int(record["impression"][1:])
        expected[number / 8] = [age, hours, tags, *look]
    for name, count in counts.items():
        assert manifest.counters[name] == count, name
    assert manifest.counters["joins.items.unknown_key"] == sum(
        record["item"] not in ("item 0", "item 1") for record in shown
    )
    assert (
        manifest.counters["joins.items.found"]
        == manifest.counters["impressions.read"]
        - manifest.counters["joins.items.unknown_key"]
    )
    assert manifest.counters["tables.items.duplicates"] == 1
    checked = 0
    for split in manifest.splits:
        for example in example_proto.read_split(job.data.examples, manifest, split):
            price, age, hours = (None if x != x else x for x in example["numeric"])
            tags = len(example["multi_valued/likes"])
            found = [age, hours, tags, *example["dense"][2:]]
            assert found == expected[price]
            checked += 1
    assert checked == len(shown) - 1


def test_golden_rows_hold_what_the_tables_said(tmp_path: Path) -> None:
    write_tables(tmp_path, 2)
    job = job_with_tables(tmp_path)
    run(job)
    text = (Path(job.data.examples) / "golden/rows.jsonl").read_text()
    row = json.loads(text.splitlines()[0])
    assert {"users_age", "users_city", "users_tags", "items_brand"} <= set(row)
    assert {"items_look", "shops_hours"} <= set(row)
    assert "user_key" not in row


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("features.age.table=user", "Did you mean 'users'"),
        ("data.tables.users.deleted=key", "must be different columns"),
        ("data.tables.more={path: x, key: y}", "no feature has 'table: more'"),
        (
            "features.users_age={kind: categorical, embedding: {buckets: 2}}",
            "one column has one type",
        ),
    ],
)
def test_job_files_are_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        job_with_tables(tmp_path, override)


def test_a_table_without_the_column_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path, 3)
    job = job_with_tables(tmp_path, "features.open.column=hour")
    with pytest.raises(DataError, match=r"no column 'hour'.* Did you mean 'hours'"):
        run(job)
