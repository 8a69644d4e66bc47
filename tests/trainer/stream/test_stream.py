"""A stream of example sets: each row is scored, then learned, once, in order."""

import json
import shutil

import numpy as np
import pytest
from tensorflow.python.framework import config as tensorflow_config

from tests.trainer.stream.made import Made
from tests.trainer.stream.sets import (
    SIZES,
    differing,
    everything,
    publish_all,
    stream_job,
    untimed,
    windows,
)
from trainer.checkpoint import State, read_state, restore
from trainer.run import load_inference_model
from trainer.stream.state import StreamState


@pytest.fixture(autouse=True)
def deterministic():
    yield
    tensorflow_config.disable_op_determinism()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    job = stream_job(
        folder,
        "stream.train.checkpoint_windows=1",
        "stream.train.slices=[item]",
        "stream.train.item_ages=[30ms]",
        "training.keep_checkpoints=99",
        "training.optimizer.dense={clip_norm: 0.1}",
        "features.item.embedding={vocabulary: {min_count: 15, spare: 3}}",
    )
    publish_all(job)
    made = Made(job)
    state = State(model="m", examples="", seed=3, stream=StreamState())
    made.learn(state)
    return made


def test_windows_are_scored_then_learned_in_order(made):
    lines = windows(made.job)
    assert [line["rows"] for line in lines] == [40, 40, 40, 40, 28]
    assert made.ids[: sum(SIZES)] == [
        1000 * (100 + k) + n for k, rows in enumerate(SIZES) for n in range(rows)
    ]
    # Windows of 40 rows in batches of 16 are steps of 16, 16 and 8 rows.
    assert [line["step"] for line in lines] == [3, 6, 9, 12, 14]
    assert [line["scored_step"] for line in lines] == [0, 3, 6, 9, 12]
    assert all(line["served"] is None for line in lines)
    assert lines[-1]["lag_rows"] == 0 and lines[0]["losses"]["loss"] > 0.0
    assert lines[2]["freshness_s"] > 1e9  # events of 1970, in milliseconds


def test_progressive_sums_are_those_of_all_windows(made):
    lines = windows(made.job)
    for name in ("log_loss", "calibration"):
        found = lines[-1]["progressive"]["click"][name]
        if name == "log_loss":
            rows = [line["rows"] for line in lines]
            values = [line["tasks"]["click"][name] for line in lines]
            assert found == pytest.approx(np.average(values, weights=rows))
    assert lines[-1]["progressive"]["click"]["rows"] == sum(SIZES)


def test_slices_are_the_most_frequent_values(made):
    line = windows(made.job)[0]
    slices = line["slices"]["item"]
    rows = [one["click"]["rows"] for one in slices.values()]
    assert len(slices) == 5 and rows == sorted(rows, reverse=True)
    assert sum(rows) < line["rows"]
    assert all((int(value) - 11) % 104729 == 0 for value in slices)


def test_items_are_told_apart_by_their_age(made):
    first, *others = (line["slices"]["item_age"] for line in windows(made.job))
    # The events of a set are a millisecond apart, and there are 12 items.
    assert 0 < first["from 30ms"]["click"]["rows"] < 12
    assert all(sum(x["click"]["rows"] for x in one.values()) > 20 for one in others)
    assert "stream/items" in everything(made.job)


def test_vocabularies_grow_while_there_are_spare_rows(made):
    lines = [line["vocabularies"]["item"] for line in windows(made.job)]
    given = [line["given"] for line in lines]
    assert sum(given) == 3 and 0 in given and lines[-1]["free"] == 0
    assert any(n.endswith("vocabulary_rows_item") for n in everything(made.job))


def test_going_on_at_every_window_gives_the_same_bits(made):
    """Dropout is on. Later checkpoints are removed, the journal of windows is not."""
    run, job = made.run, made.job
    whole, lines = everything(job), untimed(job)
    steps = run.checkpoints.steps()
    assert steps == [0, 3, 6, 9, 12, 14]
    saved = run.folder.with_name("saved")
    shutil.copytree(run.folder, saved)
    for number, step in enumerate(steps[:-1]):
        shutil.rmtree(run.folder)
        shutil.copytree(saved, run.folder)
        for later in steps[number + 1 :]:
            shutil.rmtree(run.checkpoints.path(later))
        made.ids.clear()
        restore(run.checkpoints.path(step), made.assembly.variables)
        made.learn(read_state(run.checkpoints.path(step)))
        assert not differing(whole, everything(job)), f"behind step {step}"
        assert untimed(job) == lines
        assert len(made.ids) == sum(SIZES) - 40 * number


def test_the_served_version_is_scored_beside(made, monkeypatch):
    """Served is the model of step 6: on the third window, the scores are its own."""
    run, job = made.run, made.job
    lines = untimed(job)
    published = run.folder / "published"
    shutil.copytree(run.checkpoints.path(6), published / "2")
    (published / "served.json").write_text(json.dumps({"version": 2, "step": 6}))
    for later in run.checkpoints.steps()[3:]:
        shutil.rmtree(run.checkpoints.path(later))
    restore(run.checkpoints.path(6), made.assembly.variables)
    made.learn(read_state(run.checkpoints.path(6)))
    third, fourth = windows(job)[2:4]
    assert (third["served"]["version"], third["served"]["step"]) == (2, 6)
    assert third["served"]["tasks"]["click"]["log_loss"] == pytest.approx(
        third["tasks"]["click"]["log_loss"]
    )
    assert third["served"]["tasks"]["click"]["log_loss_difference_error"] < 1e-6
    assert fourth["served"]["tasks"] != fourth["tasks"]
    error = fourth["served"]["tasks"]["click"]["log_loss_difference_error"]
    assert 0 < error < fourth["tasks"]["click"]["log_loss"]
    own = [{**line, "served": None} for line in untimed(job)]
    assert own == lines  # that it is scored changes nothing


def test_the_last_checkpoint_is_exported_where_the_best_one_is_asked_for(made):
    _, model = load_inference_model(made.run.folder, "best")
    assert model.heads
