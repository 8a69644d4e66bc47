"""The commands, and the jobs that read what they write."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs import load_job
from configs.columns import raw_columns
from configs.preprocess import TimeSplit
from preprocessing.datasets.cli import add_commands
from tests.preprocessing.datasets import public_files
from tests.preprocessing.datasets.test_criteo import LINES
from tests.preprocessing.datasets.test_globo import write_log


def run(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(required=True))
    parsed = parser.parse_args([str(a) for a in arguments])
    parsed.run(parsed)


@pytest.fixture(scope="module")
def logs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("commands")
    out = {name: folder / name for name in ("demo", "criteo", "globo")}
    sizes = "--impressions 2000 --users 100 --items 50 --days 9 --click-rate 0.06"
    run("synthesize", out["demo"], *sizes.split())
    (folder / "train.txt").write_text("".join(LINES))
    run("convert", "criteo", folder / "train.txt", out["criteo"])
    source = write_log(folder / "clicks.csv", clicks=300)
    period = "--from 2017-10-01T06:00 --until 2017-10-02 --negatives 2 --window 12h"
    run("convert", "globo", source, out["globo"], *period.split())
    return out


@pytest.mark.parametrize("name", ["demo", "criteo", "globo"])
def test_the_shipped_job_reads_its_logs(logs, name, project_root) -> None:
    path = project_root / "configs" / f"{name}.yaml"
    job = load_job(path)
    assert job.warnings() == []
    text = path.read_text()
    assert text.startswith("#")
    assert "python -m preprocessing run" in text
    needed = [*raw_columns(job), job.ids.event, job.ids.time.column]
    needed += [getattr(job.ids, key) for key in ("user", "item", "request")]
    for label in job.labels.values():
        needed += [label.column, label.truth]
    has = pq.read_schema(logs[name] / "impressions-00000.parquet").names
    assert {c for c in needed if c} <= set(has)
    for event in job.data.events.values():
        glob = Path(event.path).name
        (file,) = logs[name].glob(glob)
        columns = {event.event, event.key, event.time.column}
        assert columns <= set(pq.read_schema(file).names)
    assert {c for c in has if c.endswith("_truth")} == {
        label.truth for label in job.labels.values() if label.truth
    }


def test_the_demo_splits_lie_in_its_log(logs, project_root) -> None:
    job = load_job(project_root / "configs" / "demo.yaml")
    times = pq.read_table(logs["demo"] / "impressions-00000.parquet")["timestamp_ms"]
    times = times.to_numpy()
    split = job.preprocessing.split
    assert isinstance(split, TimeSplit)
    shares = []
    for interval in split.intervals().values():
        start, until = interval.bounds
        shares.append(((start <= times) & (times < until)).mean())
    assert shares == pytest.approx([6 / 9, 1 / 9, 1 / 9], abs=0.03)


def test_options_reach_the_generator(tmp_path) -> None:
    options = "--impressions 300 --format jsonl --no-history --seed 9 --users 20"
    run("synthesize", tmp_path / "logs", *options.split())
    first = (tmp_path / "logs" / "impressions-00000.jsonl").read_text().split("\n")[0]
    assert "history_item" not in first
    run("synthesize", tmp_path / "logs", *options.split(), "--overwrite")


def test_adding_the_commands_imports_nothing_heavy() -> None:
    code = (
        "import argparse, sys\n"
        "from preprocessing.datasets.cli import add_commands\n"
        "add_commands(argparse.ArgumentParser().add_subparsers())\n"
        "heavy = {'numpy', 'pyarrow', 'tensorflow', 'apache_beam'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        ("taobao-behaviors", "--negatives 2 --min-behaviors 5 --buckets 2", 3),
        ("taobao-ads", "--keep-incomplete --format jsonl", None),
        ("movielens", "--train-share 0.5 --history-length 3 --buckets 2", None),
        ("ali-ccp", "--validation-share 0.5 --seed 3", None),
    ],
)
def test_options_reach_the_converters(tmp_path, capsys, command, options, expected):
    source = tmp_path / "source"
    if command == "taobao-behaviors":
        source = source / "UserBehavior.csv"
        public_files.behaviors(source, 400)
    else:
        getattr(public_files, command.replace("-", "_"))(source, 400)
    run("convert", command, source, tmp_path / "logs", *options.split())
    summary = json.loads(capsys.readouterr().out)
    if expected:
        assert summary["rows"] == expected * summary["users"]
    if command == "taobao-ads":
        assert summary["rows"] == 400
        assert list((tmp_path / "logs").glob("impressions-*.jsonl"))
    if command == "movielens":
        assert summary["train_users"] == round(summary["users"] / 2)
    if command == "ali-ccp":
        assert 120 < summary["validation"]["rows"] < 280
