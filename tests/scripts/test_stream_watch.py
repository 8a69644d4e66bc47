"""What a stream is doing, told from its files."""

import json
import os

import pytest

from configs import load_job
from configs.errors import RequestError
from configs.manifest import Manifest
from scripts.stream_watch import HEADER, PARTS, Watch, delays, mean_of, median_delays

NOON = 1_767_268_800


class Server:
    """Answers for the versions that are named."""

    def __init__(self, *versions):
        self.versions = list(versions)

    def status(self):
        if not self.versions:
            raise RequestError("gives no answer")
        newest = max(self.versions)
        return {
            "model_version_status": [
                {
                    "version": str(v),
                    "state": "AVAILABLE" if v == newest else "END",
                }
                for v in self.versions
            ]
        }


@pytest.fixture
def watch(tmp_path, project_root):
    folders = {
        f"data.{name}": str(tmp_path / name) for name in ("examples", "run", "models")
    }
    overrides = [f"{key}={value}" for key, value in folders.items()]
    for folder in folders.values():
        os.makedirs(folder)
    job = load_job(project_root / "configs" / "demo-stream.yaml", overrides)
    return Watch(job, Server())


def publish_set(watch, number, at=NOON, topics=None, **counters):
    folder = f"{watch.job.data.examples}/{number:08d}"
    os.makedirs(folder)
    manifest = Manifest(
        job="demo-stream",
        fingerprint="",
        contract={},
        splits={},
        counters={name.replace("_", "."): n for name, n in counters.items()},
        dead_letters={},
        stream={"batch": number, "topics": topics or {}},
    )
    write(f"{folder}/manifest.json", manifest.model_dump(), at)


def write(path, document, at=NOON):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(document, file)
    os.utime(path, (at, at))


def window(step, *, ends, learned, position, rows=100, loss=0.3, served=None):
    """A window of ten seconds of events up to `ends`, seconds after noon."""
    return {
        "kind": "window",
        "step": step,
        "rows": rows,
        "first_time": (NOON + ends - 10) * 1_000,
        "last_time": (NOON + ends) * 1_000,
        "freshness_s": learned - ends,
        "position": position,
        "lag_rows": 7,
        "tasks": {"click": {"log_loss": loss, "truth": {"log_loss": 0.2}}},
        "served": served,
    }


def append(watch, *records, cut=""):
    with open(f"{watch.job.data.run}/metrics.jsonl", "a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records) + cut)


def test_before_anything_has_happened(watch):
    watch.look()
    assert watch.line().split() == ["0", "-", "-", "-", "-", "-"]
    assert len(watch.line()) == len(HEADER)
    assert median_delays(watch) is None


def test_events_are_those_that_the_join_has_read(watch):
    publish_set(watch, 0, impressions_read=10, events_click_read=3, impressions_kept=9)
    watch.look()
    publish_set(watch, 1, impressions_read=5)
    watch.look()
    watch.look()
    assert watch.records == 18
    assert watch.counters["impressions.kept"] == 9
    assert watch.rate > 0


def test_windows_are_read_as_they_are_written(watch):
    line = json.dumps(window(8, ends=0, learned=1, position={})) + "\n"
    append(watch, {"kind": "train", "step": 3}, cut=line[:40])
    watch.look()
    assert watch.windows == []
    with open(f"{watch.job.data.run}/metrics.jsonl", "a") as file:
        file.write(line[40:])
    append(watch, window(9, ends=1, learned=2, position={}, rows=300, loss=0.5))
    watch.look()
    assert [w["step"] for w in watch.windows] == [8, 9]
    assert mean_of(watch.windows, "log_loss") == (100 * 0.3 + 300 * 0.5) / 400
    assert mean_of(watch.windows, "log_loss", "truth") == pytest.approx(0.2)
    assert mean_of(watch.windows, "log_loss", "served") is None
    _, lag, _, _, loss, best, version = watch.line().split()
    assert (lag, loss, best, version) == ("7", "0.4500", "0.2000", "-")


KAFKA = [{"t": {"0": 4, "1": 8}}, {"t": {"0": 4, "1": 9}}, {"t": {"0": 9, "1": 12}}]
FOLDER = [{"set": f"{number:08d}", "row": 5} for number in range(3)]


@pytest.mark.parametrize("positions", [KAFKA, FOLDER], ids=["kafka", "folder"])
def test_the_delay_is_that_of_the_first_version_that_learned_from_it(watch, positions):
    run, models = watch.job.data.run, watch.job.data.models
    for number, (at, ends) in enumerate([(14, 8), (24, 11), (34, 12)]):
        topics = {"t": {0: 4 + number, 1: ends}}
        publish_set(watch, number, at=NOON + at, topics=topics)
    append(
        watch,
        window(10, ends=10, learned=16, position=positions[0]),
        window(20, ends=20, learned=27, position=positions[1]),
        window(30, ends=30, learned=36, position=positions[2]),
    )
    for step, at in ((10, 17), (20, 29), (30, 37)):
        write(f"{run}/checkpoints/{step:08d}/state.json", {}, NOON + at)
    for version, step, at in ((1, 5, 0), (2, 20, 40)):
        write(f"{models}/{version}/saved_model.pb", {})
        write(f"{run}/published/{version}/state.json", {"step": step})
        watch.client.versions.append(version)
        watch.look()
        assert set(watch.versions) == set(watch.served)
        watch.versions[version] = NOON + at
        watch.served[version] = NOON + at + 2.0
    assert watch.version == 2
    # Middle of the events, example set, window, checkpoint, version, served.
    assert delays(watch) == [
        (100, (9.0, 2.0, 13.0, 11.0, 2.0)),
        (100, (9.0, 3.0, 2.0, 11.0, 2.0)),
    ]
    medians = median_delays(watch)
    assert medians["event to served model"] == (37 + 27) / 2
    assert [medians[part] for part in PARTS] == [9.0, 2.5, 7.5, 11.0, 2.0]
