"""Loading of versions: whole ones load, damaged ones say so, half ones do not count."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import ExportError
from serving.saved_model import load_model, warm_model
from serving.versions import complete_versions, latest_version, next_version


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


VARIABLES = "variables/variables.data-00000-of-00001"
DAMAGES: list[tuple[str, Callable[[Path], None]]] = [
    ("saved_model.pb", Path.unlink),
    ("saved_model.pb", cut),
    ("variables/variables.index", Path.unlink),
    ("variables/variables.index", cut),
    (VARIABLES, Path.unlink),
    (VARIABLES, cut),
    (VARIABLES, flip),
    ("assets.extra/request.json", Path.unlink),
    ("assets.extra/request.json", cut),
    ("assets.extra/golden.jsonl", Path.unlink),
    ("assets.extra/golden.jsonl", cut),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_damaged_folder(
    full_models: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(full_models / "1", tmp_path / "1")
    damage(folder / name)
    with pytest.raises(ExportError) as caught:
        warm_model(load_model(folder))
    assert str(folder) in str(caught.value)
    assert "xport" in str(caught.value)


def test_exchanged_variables_are_noticed(full_models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(full_models / "1", tmp_path / "1")
    path = folder / "assets.extra/golden.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["predictions"]["click"] += 0.001
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ExportError, match="golden row 1 gets click = "):
        warm_model(load_model(folder))


def test_other_specification_is_noticed(full_models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(full_models / "1", tmp_path / "1")
    path = folder / "assets.extra/request.json"
    path.write_text(path.read_text().replace('"price"', '"cost"'))
    with pytest.raises(ExportError, match=r"differ in \['cost', 'price'\]"):
        load_model(folder)


def test_versions(full_models: Path, tmp_path: Path) -> None:
    for number in ("2", "10"):
        shutil.copytree(full_models / "1", tmp_path / number)
    for name in ("11", ".12.partial-99", "13x", "latest"):
        (tmp_path / name).mkdir()
    (tmp_path / ".12.partial-99/saved_model.pb").touch()
    (tmp_path / "14").touch()
    assert list(complete_versions(tmp_path)) == [2, 10]
    assert latest_version(tmp_path) == (10, tmp_path / "10")
    assert next_version(tmp_path) == 12


def test_no_version(full_models: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not exist"):
        latest_version(tmp_path / "absent")
    with pytest.raises(ExportError, match="no folder whose name is a number"):
        latest_version(tmp_path)
    (tmp_path / "3").mkdir()
    with pytest.raises(ExportError, match=r"versions without saved_model.pb \(3\)"):
        latest_version(tmp_path)
    with pytest.raises(ExportError, match="is one version of a model"):
        latest_version(full_models / "1")
    assert next_version(tmp_path / "absent") == 1
    with pytest.raises(ExportError, match="is no folder"):
        load_model(tmp_path / "absent")
