"""The job file that a plan of public data writes runs as it is, logs to model."""

from collections.abc import Callable
from pathlib import Path

import pytest

from configs.loading import load_job
from configs.manifest import read_manifest
from preprocessing.cli import main as preprocess
from trainer.cli import main as train

SETS = {
    "criteo_first80k": "criteo_first8k_raw.tsv.gz",
    "globo_clicks": "globo_clicks.csv.gz",
    "talkingdata_100k": "train_sample.csv.gz",
    "taobao_ad_10k": "taobao_data_sample_1w.csv.gz",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_a_planned_job_runs_as_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    public_data: Callable[[str], Path],
    name: str,
) -> None:
    source = public_data(name) / SETS[name]
    monkeypatch.chdir(tmp_path)  # where the job puts its folders
    assert preprocess(["plan", str(source), "--rows", "40000", "--out", "a.yaml"]) == 0
    assert preprocess(["run", "a.yaml"]) == 0
    job = load_job("a.yaml")
    assert job.warnings() == []
    manifest = read_manifest(job.data.examples)
    rows = {split: found.rows for split, found in manifest.splits.items()}
    read = manifest.counters["impressions.read"]
    assert sum(rows.values()) == read and min(rows.values()) > 0.02 * read
    assert manifest.dead_letters == {}
    label = next(iter(job.labels))
    assert manifest.splits["train"].positives[label] > 100
    assert train(["train", "a.yaml", "--set", "training.max_steps=3"]) == 0
    assert (tmp_path / job.data.run / "checkpoints").is_dir()


@pytest.mark.slow
def test_what_is_guessed_of_public_data(
    tmp_path: Path, public_data: Callable[[str], Path]
) -> None:
    from preprocessing.planning.command import plan_job

    jobs = {}
    for name, file in SETS.items():
        source = str(public_data(name) / file)
        out = tmp_path / f"{name}.yaml"
        plan_job([source], out=out, rows=40_000, work=str(tmp_path / name))
        jobs[name] = load_job(out)
    criteo = jobs["criteo_first80k"].features
    assert list(criteo) == [
        *(f"I{n}" for n in range(1, 14)),
        *(f"C{n}" for n in range(1, 27)),
    ]
    assert all(criteo[f"C{n}"].kind == "categorical" for n in range(1, 27))
    clicks = jobs["talkingdata_100k"]
    assert list(clicks.features) == ["ip", "app", "device", "os", "channel", "hour"]
    assert clicks.ids.time.unit == "iso"
    assert next(iter(clicks.labels.values())).column == "is_attributed"
    ads = jobs["taobao_ad_10k"]
    assert ads.labels["click"].column == "clk" and "nonclk" not in ads.features
    assert (ads.ids.user, ads.ids.item, ads.ids.time.unit) == (
        "user_id",
        "adgroup_id",
        "s",
    )
    assert [f.kind for f in ads.features.values()].count("sequence") == 1
    news = jobs["globo_clicks"]
    assert (news.ids.user, news.ids.item) == ("user_id", "click_article_id")
