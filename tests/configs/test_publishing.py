import os
import signal
import subprocess
import sys

import pytest

from configs import DataError
from configs.publishing import publish_folder, write_text_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_appears_whole(tmp_path):
    target = tmp_path / "deep" / "set"
    with publish_folder(target) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_text("whole")
        assert not target.exists()
    assert (target / "inner" / "file").read_text() == "whole"
    assert names(target.parent) == ["set"]


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), publish_folder(tmp_path / "set") as partial:
        (partial / "file").write_text("half")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_an_error_leaves_the_earlier_folder(tmp_path):
    target = tmp_path / "set"
    with publish_folder(target) as partial:
        (partial / "file").write_text("old")
    with (
        pytest.raises(KeyboardInterrupt),
        publish_folder(target, overwrite=True) as partial,
    ):
        (partial / "file").write_text("half")
        raise KeyboardInterrupt
    assert (target / "file").read_text() == "old"
    assert names(tmp_path) == ["set"]


def test_an_existing_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "set").mkdir()
    with (
        pytest.raises(DataError, match=r"exists already.*--overwrite"),
        publish_folder(tmp_path / "set"),
    ):
        pytest.fail("the block must not run")
    assert names(tmp_path) == ["set"]


def test_overwriting_replaces_everything(tmp_path):
    target = tmp_path / "set"
    for text in ("old", "new"):
        with publish_folder(target, overwrite=True) as partial:
            (partial / text).write_text(text)
    assert names(target) == ["new"]
    assert names(tmp_path) == ["set"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "set").write_text("precious")
    with (
        pytest.raises(DataError, match="is a file"),
        publish_folder(tmp_path / "set", overwrite=True),
    ):
        pytest.fail("the block must not run")
    assert (tmp_path / "set").read_text() == "precious"


def test_a_killed_process_leaves_the_earlier_folder(tmp_path, project_root):
    target = tmp_path / "set"
    with publish_folder(target) as partial:
        (partial / "file").write_text("old")
    program = (
        "import os, signal, sys\n"
        "from configs.publishing import publish_folder\n"
        "with publish_folder(sys.argv[1], overwrite=True) as partial:\n"
        "    (partial / 'file').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(target)], cwd=project_root, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert (target / "file").read_text() == "old"
    visible = [name for name in names(tmp_path) if not name.startswith(".")]
    assert visible == ["set"]


def test_a_small_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "file.json"
    write_text_atomically(path, "old")
    write_text_atomically(path, "newer")
    assert path.read_text() == "newer"
    assert names(tmp_path) == ["file.json"]


def test_a_failed_write_leaves_the_old_text(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_text_atomically(path, "old")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_text_atomically(path, "newer")
    assert path.read_text() == "old"


def test_a_folder_of_another_kind_is_never_replaced(tmp_path):
    target = tmp_path / "logs"
    target.mkdir()
    (target / "clicks.jsonl").write_text("precious")
    for _ in range(2):
        with (
            pytest.raises(DataError, match=r"other files \(clicks.jsonl\).*manifest"),
            publish_folder(target, overwrite=True, mark="manifest.json"),
        ):
            pytest.fail("the block must not run")
    assert names(target) == ["clicks.jsonl"]
    (target / "clicks.jsonl").unlink()
    for _ in range(2):  # an empty folder first, then one of our own
        with publish_folder(target, overwrite=True, mark="manifest.json") as partial:
            (partial / "manifest.json").write_text("{}")
    assert names(tmp_path) == ["logs"]


def test_a_folder_without_a_name_is_refused():
    with pytest.raises(DataError, match="has no name"), publish_folder("."):
        pytest.fail("the block must not run")


def test_a_failed_replacement_brings_the_earlier_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "set"
    with publish_folder(target) as partial:
        (partial / "file").write_text("old")
    rename = os.rename

    def fail(source, destination):
        if "partial" in str(source):
            raise OSError("stale handle")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", fail)
    with (
        pytest.raises(OSError, match="stale handle"),
        publish_folder(target, overwrite=True) as partial,
    ):
        (partial / "file").write_text("new")
    assert (target / "file").read_text() == "old"
    assert names(tmp_path) == ["set"]
