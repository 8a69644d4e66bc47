"""The demo of streams: its parts, and a small one of some seconds from end to end."""

import importlib
import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from preprocessing.datasets.synthesis_settings import SynthesisSettings
from preprocessing.datasets.synthesize import synthesize
from scripts import demo_stream
from scripts.demo_logs import cut_logs
from scripts.processes import Ended


@pytest.fixture
def here(tmp_path, project_root, monkeypatch):
    """A working directory with nothing but the jobs, from which ours are imported."""
    (tmp_path / "configs").symlink_to(project_root / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(project_root))
    return tmp_path


def test_logs_are_cut_so_that_events_stay_with_their_impressions(tmp_path):
    settings = SynthesisSettings(
        impressions=4_000,
        users=50,
        items=20,
        span="60s",
        click_rate=0.2,
        conversion_rate=0.3,
        click_window="5s",
        conversion_window="10s",
        orphan_share=0.0,
    )
    synthesize(settings, tmp_path / "world")
    moment = settings.start_ms + 40_000
    folders = {"past": tmp_path / "past", "coming": tmp_path / "coming"}
    cut_logs(tmp_path / "world", moment, **folders)

    def column(folder, log, name):
        return np.array(pq.read_table(f"{folder}/{log}-00000.parquet")[name])

    for name, folder in folders.items():
        known = set(column(folder, "impressions", "impression_id"))
        for log in ("impressions", "clicks", "conversions"):
            times = column(folder, log, "timestamp_ms")
            assert len(times) and ((times < moment) == (name == "past")).all()
            assert set(column(folder, log, "impression_id")) <= known
    rows = [len(column(f, "impressions", "timestamp_ms")) for f in folders.values()]
    assert sum(rows) == len(column(tmp_path / "world", "impressions", "timestamp_ms"))


def test_the_job_reads_the_logs_of_a_folder(tmp_path):
    assert demo_stream.paths(tmp_path) == [
        f"data.impressions.path={tmp_path}/impressions-*.parquet",
        f"data.events.click.path={tmp_path}/clicks-*.parquet",
        f"data.events.conversion.path={tmp_path}/conversions-*.parquet",
    ]


def test_events_go_through_a_folder_where_no_broker_can_be_had(monkeypatch, capsys):
    monkeypatch.setattr("scripts.kafka.reason_to_skip", lambda: "no Java here")
    with demo_stream.source("either") as found:
        assert found == ("folder", [])
    assert "no Java here" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no Java here"):
        demo_stream.source("kafka").__enter__()


def test_a_broker_whose_jars_are_out_of_reach_is_none(monkeypatch, capsys):
    def unreachable():
        raise RuntimeError("Maven cannot fetch Kafka")

    monkeypatch.setattr("scripts.kafka.reason_to_skip", lambda: None)
    monkeypatch.setattr("scripts.kafka.jars", unreachable)
    with demo_stream.source("either") as found:
        assert found == ("folder", [])
    assert "Maven cannot fetch Kafka" in capsys.readouterr().out


def test_a_failed_process_ends_the_demo_with_its_last_words(here, monkeypatch, capsys):
    def break_down(*arguments):
        raise Ended("join has ended with status 1; the end of join.log:\n  | no disk")

    monkeypatch.setattr(demo_stream, "prepare", lambda options: None)
    monkeypatch.setattr(demo_stream, "run", break_down)
    monkeypatch.setattr(sys, "argv", ["demo", "--source", "folder"])
    with pytest.raises(SystemExit, match=r"(?s)join has .* no disk.* have been ended"):
        demo_stream.main()


@pytest.mark.slow
def test_all_at_once_for_some_seconds(here, monkeypatch, capfd):
    def in_this_process(room, *arguments):
        # Saves the seconds in which a new one imports TensorFlow.
        commands = importlib.import_module(f"{room}.cli")
        assert not commands.main(list(map(str, arguments)))

    monkeypatch.setattr(demo_stream, "pairstream", in_this_process)
    monkeypatch.setattr(demo_stream, "PAST_SECONDS", 60)
    monkeypatch.setattr(demo_stream, "CHANGE_SECONDS", 4)
    monkeypatch.setattr(demo_stream, "CALM_SECONDS", 1)
    words = ["demo", "--source", "folder", "--seconds", "8", "--rate", "300"]
    monkeypatch.setattr(sys, "argv", words)
    demo_stream.main()
    summary = json.loads((here / "demo-stream" / "summary.json").read_text())
    logs = demo_stream.count_rows(here / "demo-stream" / "coming")
    assert summary["events"] == logs > 2_400
    assert summary["rows_learned"] > 0
    assert 0 < summary["served"]["prediction"]["click"] < 1
    assert summary["versions"]["1"]["served"]
    shown = capfd.readouterr().out
    assert "events/s  lag rows" in shown
    assert "What happened" in shown
