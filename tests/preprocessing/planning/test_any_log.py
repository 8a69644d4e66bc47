"""Whatever a log holds, the planned job reads it without a dead letter."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.loading import load_job
from preprocessing.blocks import plan_blocks
from preprocessing.fields import IMPRESSIONS, fields_by_log
from preprocessing.files import find_files
from preprocessing.inspection import inspect_file
from preprocessing.planning.command import plan_job
from preprocessing.reading import read_block
from preprocessing.row_numbers import numbered

NAMES = (
    *("user_id", "uid", "item_id", "brand", "price", "age", "gender", "tags", "hour"),
    *("history_items", "history_times", "score", "101", "class of worker", "x", "ts"),
    *("time", "created_at", "request_id", "id", "vector", "Größe", "purchase", "flag"),
)

Maker = Callable[[random.Random], Any]

MAKERS: list[Maker] = [
    lambda chance: chance.randrange(5),
    lambda chance: chance.randrange(10**6),
    lambda chance: -chance.randrange(50),
    lambda chance: round(chance.expovariate(0.01), 2),
    lambda chance: float(chance.randrange(9)),
    lambda chance: chance.choice(["red", "blue", "NULL", "a,b", "7", " x "]),
    lambda chance: f"{chance.randrange(16**8):08x}",
    lambda chance: 1_700_000_000 + chance.randrange(10**6),
    lambda chance: f"2026-01-{chance.randrange(1, 29):02} 10:00:00",
    lambda chance: chance.choice([0, 1]),
    lambda chance: None,
    lambda chance: "same",
]
LISTS: list[Maker] = [
    lambda chance: [chance.randrange(99) for _ in range(chance.randrange(6))],
    lambda chance: [f"t{chance.randrange(9)}" for _ in range(chance.randrange(3))],
    lambda chance: [chance.random() for _ in range(4)],
    lambda chance: [chance.random() for _ in range(chance.randrange(3))],
]


def some_log(chance: random.Random, lists: bool) -> list[dict[str, Any]]:
    """Rows of random columns, some with missing values, and a label."""
    makers = [*MAKERS, *LISTS] if lists else MAKERS
    columns = {
        name: (chance.choice(makers), chance.choice([0.0, 0.0, 0.3]))
        for name in chance.sample(NAMES, 9)
    }
    rows = []
    for _ in range(300):
        row: dict[str, Any] = {"device": chance.choice(["phone", "desk"])}
        for name, (maker, missing) in columns.items():
            row[name] = None if chance.random() < missing else maker(chance)
        row["click"] = int(chance.random() < 0.2)
        rows.append(row)
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        texts = [list(rows[0]), *([as_text(v) for v in row.values()] for row in rows)]
        with path.open("w", newline="", encoding="utf-8") as file:
            if path.suffix == ".csv":
                csv.writer(file).writerows(texts)
            else:
                file.writelines("\t".join(line) + "\n" for line in texts)


def as_text(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(map(str, value))
    return "" if value is None else str(value)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("seed", range(12))
def test_a_planned_job_reads_its_log(tmp_path: Path, suffix: str, seed: int) -> None:
    chance = random.Random(f"{suffix} {seed}")  # noqa: S311 (a test's)
    path = tmp_path / f"log.{suffix}"
    write(path, some_log(chance, lists=seed % 3 > 0))
    plan_job([str(path)], out=tmp_path / "job.yaml", page=tmp_path / "job.html")
    job = load_job(tmp_path / "job.yaml")
    fields = fields_by_log(job)[IMPRESSIONS]
    files = find_files(IMPRESSIONS, job.data.impressions, "data.impressions")
    headers = {file.path: inspect_file(file, fields)[0] for file in files}
    numbers = [IMPRESSIONS] if numbered(fields) else []
    blocks = plan_blocks(files, headers, 1 << 20, numbers)
    tables = [table for block in blocks for table in read_block(block, fields)]
    read = pa.concat_tables(tables)
    dead = [row["record"] for row in read.to_pylist() if row["reason"]]
    assert (read.num_rows, dead) == (300, [])
