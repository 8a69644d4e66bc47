"""The jobs of the papers, from generated files to an evaluated model, by the commands
in their first comments."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs import load_job
from configs.columns import raw_columns
from preprocessing.cli import main as preprocessing
from tests.configs.test_shipped_jobs import PAPERS, rerun_paper
from tests.preprocessing.datasets import public_files

GENERATE = {
    "ali_ccp": public_files.ali_ccp,
    "aliexpress_fr": public_files.aliexpress,
    "aliexpress_nl": public_files.aliexpress,
    "aliexpress_us": public_files.aliexpress,
    "avazu": public_files.avazu,
    "criteo_x1": public_files.criteo_x1,
    "movielens": public_files.movielens,
    "taobao_ads": lambda folder, rows: public_files.taobao_ads(folder, rows, logged=2),
}


def generated(folder: Path, name: str, rows: int) -> str:
    """Makes the files of a data set; returns what `$DATA` is."""
    if name == "taobao_behaviors":
        public_files.behaviors(folder / "UserBehavior.csv", rows)
        return str(folder / "UserBehavior.csv")
    GENERATE[name](folder, rows)
    return str(folder)


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_the_job_reads_what_its_converter_writes(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = generated(tmp_path / "source", path.stem, 400)
    convert = next(rerun_paper().commands_of(path, data))
    assert preprocessing(convert[2:]) == 0
    job = load_job(path)
    (file,) = tmp_path.glob(job.data.impressions.path)
    has = pq.read_schema(file).names
    needed = [*raw_columns(job), job.ids.event, job.ids.time.column]
    needed += [job.ids.user, job.ids.item, job.ids.request]
    needed += [label.column for label in job.labels.values()]
    assert {column for column in needed if column} <= set(has)
    # Every row lies in one of the splits.
    times = pq.read_table(file)[job.ids.time.column].to_pylist()
    spans = [i.bounds for i in job.preprocessing.split.intervals().values()]
    shares = [sum(a <= time < b for time in times) for a, b in spans]
    assert sum(shares) == len(times)
    assert all(shares)
    printed = json.loads(capsys.readouterr().out)
    written = (tmp_path / "data" / path.stem / "logs" / "summary.json").read_text()
    assert printed == json.loads(written)
    assert printed["rows"] == len(times)


SMALL = {
    # name: rows, and what makes the model small enough for a test
    "criteo_x1": (2_000, ["model.backbone.hidden=[16]", "training.batch_size=256"]),
    "movielens": (2_000, ["model.embedding_dim=8", "training.batch_size=64"]),
    "ali_ccp": (
        2_000,
        [
            "model.embedding_dim=4",
            "model.multi_task.expert=[8]",
            "model.multi_task.tower=[8]",
            "training.batch_size=256",
        ],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_paper_runs_from_its_files_to_its_figures(
    name, tmp_path, monkeypatch, capsys
):
    from trainer.cli import main as trainer

    monkeypatch.chdir(tmp_path)
    rows, settings = SMALL[name]
    data = generated(tmp_path / "source", name, rows)
    settings = [*settings, "training.max_steps=4", "preprocessing.buckets=2"]
    settings.append("preprocessing.golden_rows=20")
    options = [word for setting in settings for word in ("--set", setting)]
    (path,) = [path for path in PAPERS if path.stem == name]
    for words in rerun_paper().commands_of(path, data, options):
        main = {"preprocessing": preprocessing, "trainer": trainer}[words[1]]
        assert main(words[2:]) in (0, None), words
    printed, warned = capsys.readouterr()
    assert "another unit" not in warned  # positions must not look like seconds
    label = next(iter(load_job(path).labels))
    assert label in printed and "auc" in printed.lower()
