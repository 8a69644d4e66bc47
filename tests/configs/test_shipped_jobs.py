"""Every shipped job file loads without a warning; papers' say what to reach."""

import importlib.util
import math
import re
import shlex
from pathlib import Path

import pytest

from configs import load_job

ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED = sorted((ROOT / "configs").rglob("*.yaml"))
PAPERS = [path for path in SHIPPED if path.parent.name == "paper"]

SETS = {
    "ali_ccp": "ali-ccp",
    "aliexpress_fr": "aliexpress",
    "aliexpress_nl": "aliexpress",
    "aliexpress_us": "aliexpress",
    "avazu": "avazu",
    "criteo_x1": "criteo-x1",
    "movielens": "movielens",
    "taobao_ads": "taobao-ads",
    "taobao_behaviors": "taobao-behaviors",
}
"""The data set that each paper's job is converted from."""


def rerun_paper():
    path = ROOT / "scripts" / "rerun_paper.py"
    spec = importlib.util.spec_from_file_location("rerun_paper", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def comment_of(path):
    return re.match(r"(#.*\n)*", path.read_text()).group()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_job_loads_without_a_warning(path):
    job = load_job(path)
    assert job.warnings() == []
    assert job.name == path.stem
    assert comment_of(path).count("# python -m") >= 3 or "make demo" in comment_of(path)


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_overrides_in_the_comment_load(path):
    text = " ".join(line.lstrip("# ") for line in comment_of(path).splitlines())
    found = re.findall(r"--set ('[^']*'|[^\s,;)]+)", text)
    for override in found:
        load_job(path, [shlex.split(override)[0]])
    assert bool(found) == ("--set" in text)


def test_every_data_set_of_a_paper_has_its_job():
    assert {path.stem for path in PAPERS} == set(SETS)


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_a_papers_job_says_what_to_run_and_to_reach(path):
    commands = list(rerun_paper().commands_of(path, "FOLDER", ["--set", "a=1"]))
    assert [words[:3] for words in commands] == [
        ["-m", "preprocessing", "convert"],
        ["-m", "preprocessing", "run"],
        ["-m", "trainer", "train"],
        ["-m", "trainer", "evaluate"],
    ]
    logs = f"data/{path.stem}/logs"
    assert commands[0][3:6] == [SETS[path.stem], "FOLDER", logs]
    assert all(words[3:] == [str(path), "--set", "a=1"] for words in commands[1:])
    assert load_job(path).data.impressions.path.startswith(f"{logs}/impressions-")
    comment = " ".join(line.lstrip("# ") for line in comment_of(path).splitlines())
    assert "Published" in comment
    assert "AUC" in comment
    assert "make paper NAME=" + path.stem in comment
    # Nobody may take a paper's figures for ours.
    assert "nobody has trained this job yet" in comment


def test_unknown_papers_are_listed(capsys):
    assert rerun_paper().main(["nothing", "folder"]) == 2
    assert "criteo_x1" in capsys.readouterr().err


def weights_of(job, sizes):
    from trainer.inference import build_inference_model

    model = build_inference_model(job, vocabulary_sizes=sizes)
    return sum(math.prod(v.shape) for v in model.trainable_variables)


PUBLISHED_WEIGHTS = {
    # Of 26 tables, 13 vectors of numbers taken off.
    "criteo_x1": (2_086_316 - 13, 22_018_021),
    "avazu": (3_750_975, 73_385_345),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED_WEIGHTS)
def test_a_job_has_the_published_number_of_weights(name):
    job = load_job(ROOT / "configs" / "paper" / f"{name}.yaml")
    rows, published = PUBLISHED_WEIGHTS[name]
    tables = [n for n, f in job.features.items() if f.kind == "categorical"]
    # Each table has a row more, for the values without one of their own.
    sizes = {
        table: rows // len(tables) - 1 + (k < rows % len(tables))
        for k, table in enumerate(tables)
    }
    found = weights_of(job, sizes)
    print(f"{name}: {found:,} weights, {published:,} published")
    # Ours has a row of padding, which stays 0.
    assert found - job.model.embedding_dim == published
