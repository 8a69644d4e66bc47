"""Publishing: the gate, the schedule, crashes, a full disk; exports are pretended."""

import json
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ExportError, PairstreamError
from configs.job import Job
from configs.loading import dump_job
from serving import publish
from serving.choice import read_choice, version_to_serve
from serving.cli import main
from serving.decisions import Decision, read_decisions
from serving.locks import locked
from serving.publisher import Publisher
from serving.run_folder import RunFolder
from serving.versions import complete_versions
from tests.serving.published_runs import (
    FakeExport,
    FakeRun,
    figures,
    job_in,
    window,
    write_version,
)


class Place:
    """A job with a run whose windows are good, and a publisher of it."""

    def __init__(self, folder: Path, *changes: str) -> None:
        self.job = job_in(folder, *changes)
        self.run = FakeRun(self.job)
        self.models = Path(self.job.data.models)
        self.export = FakeExport()
        self.said: list[str] = []
        self.publisher = self.restarted()

    def restarted(self) -> Publisher:
        """Another process, after the first one ended in whatever way."""
        publisher = Publisher(
            self.job, lock=-1, say=self.said.append, export=self.export
        )
        publisher.recover()
        self.publisher = publisher
        return publisher

    def learn(self, step: int, *, served: int | None = None, **changes: Any) -> None:
        """Three windows, then a checkpoint."""
        rows = changes.pop("rows_learned", None)
        self.run.windows(
            *(window(step - k, served=served, **changes) for k in (2, 1, 0))
        )
        self.run.checkpoint(step, rows=rows)

    def publish(self, step: int, **changes: Any) -> Decision:
        decision = self.consider(step, **changes)
        assert decision is not None and decision.action == "published", decision
        return decision

    def consider(self, step: int, **changes: Any) -> Decision | None:
        scheduled = changes.pop("scheduled", False)
        self.learn(step, **changes)
        return self.publisher.consider(scheduled=scheduled)

    def versions(self) -> list[int]:
        return sorted(complete_versions(self.models))

    def log(self) -> list[str]:
        return [decision.action for decision in read_decisions(self.models)]

    def told(self) -> Any:
        path = self.run.folder / "published/served.json"
        return json.loads(path.read_text()) if path.exists() else None


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_versions_appear_and_the_trainer_is_told(place: Place) -> None:
    assert place.publisher.consider() is None, "there is no run yet"
    decision = place.publish(10)
    assert decision.version == 1 and decision.figures["click"]["calibration"] == 1.0
    assert place.told() == {"version": 1, "step": 10}
    kept = place.run.folder / "published/1"
    assert sorted(p.name for p in kept.iterdir()) == [
        "state.json",
        "variables.data-00000-of-00001",
        "variables.index",
    ]
    assert os.path.samefile(
        kept / "variables.index",
        place.run.folder / "checkpoints/00000010/variables.index",
    ), "a link takes no space"
    assert place.publisher.consider() is None, "once is enough"
    place.restarted()
    assert place.publisher.consider() is None
    place.publish(20, served=1)
    assert place.versions() == [1, 2]
    assert place.told() == {"version": 2, "step": 20}
    assert place.log() == ["published", "published"]


def test_what_the_gate_refuses_is_no_version(place: Place) -> None:
    place.publish(10)
    worse = place.consider(20, served=1, log_loss=0.4)
    assert worse is not None and worse.action == "rejected"
    assert place.publisher.consider() is None, "a rejection is for good"
    waiting = place.consider(30)
    assert waiting is not None and waiting.action == "waits"
    again = place.publisher.consider()
    assert again is not None and again.action == "waits"
    assert place.log() == ["published", "rejected", "waits"], "it is said once"
    place.run.windows(*(window(30, served=1) for _ in range(3)))
    published = place.publisher.consider()
    assert published is not None and published.version == 2
    assert place.export.exported == [(1, "weights of 10"), (2, "weights of 30")]


def test_old_versions_are_removed(place: Place) -> None:
    place.publish(10)
    for step in range(20, 80, 10):
        place.publish(step, served=step // 10 - 1)
    assert place.versions() == [5, 6, 7]
    kept = [int(p.name) for p in (place.run.folder / "published").glob("?")]
    assert sorted(kept) == [5, 6, 7]
    # Pinned, then many more: the served one and the one before it stay.
    publish.pin_version(place.job, 6)
    assert place.told() == {"version": 6, "step": 60}
    held = place.consider(80, served=7)
    assert held is not None and held.reasons == ["version 6 is pinned"]
    publish.unpin(place.job)
    assert place.versions() == [5, 6, 7]


def test_another_folder_of_models_harms_nothing(place: Place) -> None:
    """A disk that is not mounted, say: an empty folder in its place."""
    place.publish(10)
    place.models.rename(place.models.with_name("away"))
    place.restarted()
    place.publish(20)
    assert place.versions() == [2] and place.told() == {"version": 2, "step": 20}
    shutil.rmtree(place.models)
    place.models.with_name("away").rename(place.models)
    place.restarted()
    assert place.told() == {"version": 1, "step": 10}
    assert place.publish(30, served=1).version == 3


def test_versions_of_others_are_left_alone(place: Place) -> None:
    place.publish(10)
    write_version(place.job, place.run.checkpoint(11), 2)  # by hand, of this run
    (place.models / "3").mkdir()
    (place.models / "3/saved_model.pb").write_text("")  # of somebody
    place.restarted()
    assert place.log() == ["published", "found", "found"]
    assert place.told() is None, "3 is to be served, and it is not of this run"
    waits = place.consider(20)
    assert waits is not None and "is not of the run" in waits.reasons[0]
    decision = place.publisher.consider(uncompared=True)
    assert decision is not None and decision.version == 4
    for step in range(30, 80, 10):
        place.publish(step, served=step // 10 + 1)
    assert place.versions() == [2, 3, 7, 8, 9]


def test_a_version_that_comes_meanwhile_is_left_alone(place: Place) -> None:
    """Of another command, with a number that is lower than those that are kept."""
    (place.models / "5").mkdir(parents=True)  # taken, so that versions begin with 6
    for number in range(6, 11):
        place.publish(10 * number, served=number - 1 if number > 6 else None)
    pretended = place.export

    def export(job: Job, checkpoint: Path, version: int, lock: int) -> None:
        pretended(job, checkpoint, version, lock)
        write_version(job, checkpoint, 1)

    place.publisher = Publisher(
        place.job, lock=-1, say=place.said.append, export=export
    )
    place.publish(110, served=10)
    assert place.versions() == [1, 9, 10, 11]
    place.restarted()
    assert place.log()[-2:] == ["published", "found"]


def test_a_version_is_due_after_a_while(place: Place, monkeypatch: Any) -> None:
    clock = [1_000_000_000.0]
    monkeypatch.setattr("serving.publisher.time.time", lambda: clock[0])
    monkeypatch.setattr("serving.publisher.now", lambda: iso(clock[0]))
    place.job = place.job.model_copy(update={"stream": rows_of(place.job, 5000)})
    place.restarted()
    place.learn(10, rows_learned=1000)
    assert place.publisher.consider(scheduled=True) is not None
    place.learn(20, served=1, rows_learned=9000)
    clock[0] += 599
    assert place.publisher.consider(scheduled=True) is None
    clock[0] += 1
    place.learn(30, served=1, rows_learned=5999)
    assert place.publisher.consider(scheduled=True) is None, "too few rows"
    place.learn(40, served=1, rows_learned=6000)
    assert place.publisher.consider(scheduled=True) is not None
    assert place.versions() == [1, 2]


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def rows_of(job: Job, rows: int) -> Any:
    assert job.stream is not None
    settings = job.stream.publish.model_copy(update={"rows": rows})
    return job.stream.model_copy(update={"publish": settings})


def test_a_full_disk_is_survived(place: Place, monkeypatch: Any) -> None:
    place.publish(10)
    place.export.error = ExportError("No space left on device")
    failed = place.consider(20, served=1)
    assert failed is not None and failed.action == "failed"
    assert not (place.run.folder / "published/2").exists()
    place.export.error = None
    assert place.publisher.consider(scheduled=True) is None, "not at once again"

    def full(models: Path, decision: Decision) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("serving.publisher.append_decision", full)
        assert place.publisher.consider() is not None
        assert place.publisher.consider() is None, "known although it is not written"
    assert place.versions() == [1, 2]
    place.publish(30, served=2)
    assert place.log() == ["published", "failed", "published", "published"]


class Killed(BaseException):
    """Nothing of ours catches it, as nothing catches kill -9."""


@pytest.mark.parametrize(
    "moment",
    [
        "serving.publisher.Publisher._hold_back",
        "serving.publisher.RunFolder.accept",
        "serving.publisher.append_decision",
        "serving.publisher.RunFolder.say_served",
        "serving.publisher.remove_version",
        "serving.published.shutil.rmtree",
    ],
)
def test_killed_at_any_moment(place: Place, moment: str, monkeypatch: Any) -> None:
    for step in (10, 20, 30):
        place.publish(step, served=step // 10 - 1)

    def killed(*arguments: Any, **options: Any) -> None:
        raise Killed

    place.learn(40, served=3)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(moment, killed)
        # What publishes calls some of these before as well; that is a moment too.
        place.publisher.consider()
        place.learn(50, served=3)
        place.publisher.consider()
    place.restarted().consider()
    place.publisher.consider()
    assert place.versions()[-1] == 4
    assert place.told() == {"version": 4, "step": 40}
    assert place.log() == ["published"] * 4
    assert place.publisher.consider() is None
    place.publish(60, served=4)
    assert place.versions() == [3, 4, 5]
    assert [p.name for p in place.models.glob(".*.removed-*")] == []


def test_killed_while_exporting(place: Place) -> None:
    place.publish(10)
    place.export.error = Killed()
    place.learn(20, served=1)
    with pytest.raises(Killed):
        place.publisher.consider()
    half = place.models / ".2.partial-999999"
    half.mkdir()
    (half / "saved_model.pb").write_text("")
    place.export.error = None
    assert (place.run.folder / "published/.2.candidate").exists()
    place.restarted()
    assert not half.exists()
    assert [p.name for p in (place.run.folder / "published").glob("[.2]*")] == []
    assert place.told() == {"version": 1, "step": 10}
    decision = place.publisher.consider()
    assert decision is not None and decision.version == 2


def test_training_that_removes_a_checkpoint_meanwhile(
    place: Place, monkeypatch: Any
) -> None:
    place.publish(10)
    place.learn(20, served=1)
    export = place.export

    def slowly(job: Job, checkpoint: Path, version: int, lock: int) -> None:
        for step in (21, 22, 23):
            place.run.checkpoint(step)  # The trainer keeps two.
        assert not (place.run.folder / "checkpoints/00000020").exists()
        export(job, checkpoint, version, lock)

    monkeypatch.setattr(place.publisher, "_export", slowly)
    decision = place.publisher.consider()
    assert decision is not None and decision.step == 20
    assert export.exported[-1] == (2, "weights of 20")
    # Removed before it could be linked: another look finds the newer one.
    gone = RunFolder(place.job.data.run).checkpoint()
    assert gone is not None
    shutil.rmtree(gone.folder)
    monkeypatch.setattr(place.publisher._run, "checkpoint", lambda which="last": gone)
    place.run.windows(*(window(23, served=2) for _ in range(3)))
    assert place.publisher.consider() is None
    assert "was removed while it was read" in place.said[-1]
    assert list((place.run.folder / "published").glob(".*")) == []


def test_rollback_pin_and_unpin(place: Place, capsys: Any) -> None:
    place.publish(10)
    with pytest.raises(ExportError, match="no version to go back to from 1"):
        publish.roll_back(place.job)
    place.publish(20, served=1)
    place.publish(30, served=2)
    publish.roll_back(place.job, "complaints")
    assert version_to_serve(place.models, read_choice(place.models)) == 2
    assert place.told() == {"version": 2, "step": 20}
    publish.roll_back(place.job)
    assert version_to_serve(place.models, read_choice(place.models)) == 1
    with pytest.raises(ExportError, match="no complete version 9; it has 1, 2, 3"):
        publish.pin_version(place.job, 9)
    publish.unpin(place.job)
    assert version_to_serve(place.models, read_choice(place.models)) == 1
    place.publish(40, served=1)
    assert version_to_serve(place.models, read_choice(place.models)) == 4
    publish.pin_version(place.job, 3, "a comparison")
    (place.models / "serving.json").write_text("{")
    publish.pin_version(place.job, 3, "a comparison")
    capsys.readouterr()
    publish.show_log(place.job)
    shown = capsys.readouterr().out
    assert "to be served: 3 (pinned: a comparison)" in shown
    assert re.search(r"rolled back +2 +complaints", shown)
    assert "+0.00%" in shown


def test_a_pin_while_a_version_is_made_holds_it_back(place: Place) -> None:
    place.publish(10)
    place.publish(20, served=1)
    export = place.export

    def meanwhile(job: Job, checkpoint: Path, version: int, lock: int) -> None:
        export(job, checkpoint, version, lock)
        publish.roll_back(job, "the last one was bad")

    place.publisher._export = meanwhile
    place.publish(30, served=2)
    choice = read_choice(place.models)
    assert choice.version == 2 and choice.withdrawn == [3]
    publish.unpin(place.job)
    assert version_to_serve(place.models, read_choice(place.models)) == 2


def test_once_says_how_it_ended(place: Place, capsys: Any) -> None:
    with pytest.raises(ExportError, match="has no checkpoint 'last'"):
        publish.publish_once(place.job, export=place.export)
    place.learn(10)
    assert publish.publish_once(place.job, export=place.export) == 0
    assert publish.publish_once(place.job, export=place.export) == 0
    assert "nothing new: step 10: version 1 published" in capsys.readouterr().out
    place.learn(20, served=1, predicted_rate=0.5)
    assert publish.publish_once(place.job, export=place.export) == 1
    assert publish.publish_once(place.job, export=place.export) == 1
    with (
        locked(place.models / ".publish.lock", wait=None, what="publishes"),
        pytest.raises(PairstreamError, match="another process publishes to it"),
    ):
        publish.publish_once(place.job, export=place.export)


def test_runs_over_whole_example_sets(place: Place) -> None:
    """Their evaluations stand for windows; the served version's is beside it."""

    def evaluated(step: int, **changes: Any) -> Decision | None:
        line = {"kind": "validation", "step": step, "click": figures(**changes)}
        place.run.windows(line)
        place.run.checkpoint(step, age=1e6)  # Age matters on a stream.
        return place.publisher.consider()

    first = evaluated(10, positives=1000, calibration_error=0.03)
    assert first is not None and first.version == 1
    worse = evaluated(20, log_loss=0.31, positives=1000, calibration_error=0.03)
    assert worse is not None and "3.3% worse" in worse.reasons[0]
    better = evaluated(30, log_loss=0.29, positives=1000, calibration_error=0.03)
    assert better is not None and better.version == 2


def test_the_commands(place: Place, tmp_path: Path, capsys: Any) -> None:
    place.publish(10)
    place.publish(20, served=1)
    path = tmp_path / "job.yaml"
    path.write_text(dump_job(place.job))
    assert main(["publish", str(path), "--rollback", "--reason", "a test"]) == 0
    assert "rolled back: a test (version 1 is to be served)" in capsys.readouterr().out
    assert main(["publish", str(path)]) == 0
    assert "nothing new" in capsys.readouterr().out
    assert main(["publish", str(path), "--pin", "2"]) == 0
    assert main(["publish", str(path), "--unpin"]) == 0
    assert main(["publish", str(path), "--log"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-2:] == ["to be served: 1 (the newest)", "withdrawn: 2"]
    assert main(["publish", str(path), "--log", "--lines", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["publish", str(path), "--pin", "7"]) == 2
    assert main(["publish", str(path), "--checkpoint", "worst"]) == 2
    assert "expected last, best or a step" in capsys.readouterr().err
