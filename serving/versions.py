"""The versions of a model: folders of a base path whose names are integers.

This is TensorFlow Serving's layout. A folder without `saved_model.pb`, or with another
name (a partial one, say), is no version.
"""

import re
from pathlib import Path

from configs.errors import ExportError

__all__ = ["complete_versions", "latest_version", "next_version"]

_NUMBER = re.compile(r"[0-9]+")


def complete_versions(models: str | Path) -> dict[int, Path]:
    """Returns the folders of complete versions by number, ascending."""
    return {
        number: folder
        for number, folder in _numbered(Path(models)).items()
        if (folder / "saved_model.pb").is_file()
    }


def latest_version(models: str | Path) -> tuple[int, Path]:
    """Returns the highest complete version and its folder.

    Raises:
        ExportError: if there is none.
    """
    versions = complete_versions(models)
    if versions:
        return max(versions.items())
    if (Path(models) / "saved_model.pb").is_file():
        raise ExportError(
            f"{models} is one version of a model; expected the folder above it, which"
            f" holds all versions: {Path(models).resolve().parent}"
        )
    incomplete = [folder.name for folder in _numbered(Path(models)).values()]
    found = "does not exist"
    if incomplete:
        found = f"holds only versions without saved_model.pb ({', '.join(incomplete)})"
    elif Path(models).is_dir():
        found = "holds no folder whose name is a number"
    raise ExportError(
        f"{models} {found}; expected an exported version in it, such as {models}/1."
        " Run `python -m serving export JOB` first"
    )


def next_version(models: str | Path) -> int:
    """Returns the number after the highest one, complete or not."""
    return max(_numbered(Path(models)), default=0) + 1


def _numbered(models: Path) -> dict[int, Path]:
    if not models.is_dir():
        return {}
    folders = [f for f in models.iterdir() if _NUMBER.fullmatch(f.name) and f.is_dir()]
    return {int(f.name): f for f in sorted(folders, key=lambda f: int(f.name))}
