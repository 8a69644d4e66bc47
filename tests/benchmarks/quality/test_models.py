"""The parts of the study of models that train nothing: results, tables, jobs."""

import numpy as np
import pytest

from benchmarks.quality.losses.rows import Split
from benchmarks.quality.models.criteo import CriteoStudy, rate_of
from benchmarks.quality.models.globo import TASKS, WEIGHTS, Variant, chosen_weights
from benchmarks.quality.models.hillstrom import LOSSES, SYSTEMS, job_of, partition
from benchmarks.quality.models.report import (
    differences,
    markdown,
    spread,
    write_report,
)
from benchmarks.quality.models.sections import backbone_override, backbone_sections
from benchmarks.quality.models.store import Store
from configs.errors import JobError
from configs.layout import LABELS
from configs.loading import load_job
from trainer.backbones.registry import BACKBONES


def report(auc: float, log_loss: float = 0.5) -> dict:
    metrics = {"auc": auc, "gauc": auc, "log_loss": log_loss, "calibration": 1.0}
    cosine = {"rows": 3, "mean": 0.1, "histogram": [1] * 40}
    return {
        "validation": {"click": metrics},
        "test": {"click": metrics, "conversion": metrics},
        "cosine": {"clicked": cosine, "not_clicked": cosine},
        "parameters": 10,
        "dense_parameters": 5,
        "chosen_step": 3,
        "train_rows": 100,
        "storage_bytes": 2**20,
        "epoch_seconds": 1.0,
        "epoch_cpu_seconds": 2.0,
    }


def filled(store: Store, found: dict[str, dict]) -> Store:
    store.run({n: lambda r=r: dict(r) for n, r in found.items()}, title="t")
    return store


def test_what_is_there_is_not_run_again(tmp_path):
    calls = []

    def trial(name):
        return lambda: calls.append(name) or report(0.7)

    trials = {name: trial(name) for name in ("folder/a-seed0", "folder/b-seed0")}
    store = Store(tmp_path)
    assert store.run(dict(list(trials.items())[:1]), title="t") == []
    assert Store(tmp_path).run(trials, title="t") == []
    assert calls == ["folder/a-seed0", "folder/b-seed0"]
    assert store.read("folder/a-seed0")["test"]["click"]["auc"] == 0.7


def test_a_failed_trial_ends_nothing_and_leaves_nothing(tmp_path, capsys):
    def fail():
        raise ValueError("a backbone that cannot be trained")

    store = Store(tmp_path)
    trials = {"a-seed0": fail, "b-seed0": lambda: report(0.7)}
    assert store.run(trials, title="t") == ["a-seed0"]
    assert "cannot be trained" in capsys.readouterr().err
    assert store.read("a-seed0") is None
    assert len(store.seeds("b")) == 1


def test_refusals_are_remembered_and_no_results(tmp_path):
    store = filled(Store(tmp_path), {"a-seed0": {"refused": "no sequence"}})
    assert store.read("a-seed0")["refused"] == "no sequence"
    assert store.seeds("a") == []


def test_linear_backbones_learn_faster():
    assert rate_of("logistic_regression") == rate_of("fm") > rate_of("dnn")


def test_weights_are_chosen_on_validation_rows(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(SystemExit, match="weights"):
        chosen_weights(store)
    assert chosen_weights(filled(store, weight_results())) == (WEIGHTS[2], WEIGHTS[0])


def weight_results() -> dict[str, dict]:
    found = {f"{Variant('din').name}-seed0": report(0.7)}
    for kind, best in (("uim", WEIGHTS[2]), ("nip", WEIGHTS[0])):
        for weight in WEIGHTS:
            name = Variant("din", **{kind: weight}).name
            loss = 0.4 if weight == best else 0.5
            found[f"{name}-seed0"] = report(0.71, log_loss=loss)
    return found


def test_differences_are_of_the_same_seeds():
    runs, others = [report(0.72), report(0.75)], [report(0.70), report(0.71)]
    assert differences(runs, others, "auc") == "+0.0300 ± 0.0141"
    assert differences(others, runs, "auc").startswith("-0.0300")
    assert differences(runs, others[:1], "auc") == "+0.0200"
    assert differences(runs, [], "auc") == ""


def test_one_value_has_no_spread():
    assert spread([0.5]) == "0.5000"
    assert spread([1.0, 3.0], 1) == "2.0 ± 1.4"


def test_tables_without_rows_are_left_out():
    assert markdown(["a", "b"], []) == []
    assert markdown(["a", "b"], [["1", "2"]])[1:] == ["| --- | --- |", "| 1 | 2 |"]


def test_the_report_shows_what_there_is(tmp_path):
    found = weight_results()
    uim, nip = WEIGHTS[2], WEIGHTS[0]
    found[f"{Variant('din', uim, nip).name}-seed0"] = report(0.72)
    found[f"{Variant('din', keep=0.1).name}-seed0"] = report(0.69)
    steps = {tasks: [0.1 * (1 + place)] * 6 for place, tasks in enumerate(TASKS)}
    timed = {"seconds_per_step": steps, "epoch_steps": 10}
    store = filled(Store(tmp_path / "results"), found)
    store.run({"globo-time/din": lambda: timed}, title="t")
    text = write_report(store, tmp_path)
    assert "Criteo" not in text.split("## ")[-1]
    assert "| din | both | 1 | 0.7200 | 0.7200 |" in text
    assert "| +0.0200 | 2.0 | 1.00 | 4.0 | 4.00 (4.00 to 4.00) |" in text
    assert "| 0.1 | neither | 1 | 100 | 1 | 0.6900" in text
    assert {p.name for p in tmp_path.glob("*.png")} == {
        *("weights.png", "cosines.png", "keep.png")
    }


def test_every_backbone_of_the_registry_has_a_section():
    assert set(backbone_sections()) == set(BACKBONES)


def test_common_settings_go_to_backbones_that_have_them():
    common = {"hidden": [8], "dropout": 0.5}
    assert "hidden" not in backbone_override("fm", common)
    assert '"dropout": 0.5' in backbone_override("dnn", common)


def test_jobs_of_the_studies_load(tmp_path):
    study = CriteoStudy(examples=tmp_path, store=Store(tmp_path))
    for variant, settings in study.variants().items():
        try:
            assert load_job("configs/criteo.yaml", settings).model.backbone
        except JobError as error:
            assert "sequence" in str(error), variant
    for system in SYSTEMS:
        for loss in LOSSES:
            job_of(system, loss, 1)


def test_a_cut_has_every_row_once():
    rows = np.arange(100, dtype=np.float32)[:, np.newaxis]
    cut = partition(Split({LABELS: rows}), seed=3)
    parts = [cut.train, cut.validation, cut.test]
    assert [part.rows for part in parts] == [60, 10, 30]
    together = np.concatenate([part.labels for part in parts])
    assert sorted(together) == list(range(100))
