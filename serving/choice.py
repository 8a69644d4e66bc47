"""Which version of a model is to be served: the newest, unless somebody chose.

`serving.json`, beside the versions, holds the choice: a pinned version, and versions
that were taken back. Servers follow it; commands of `python -m serving publish` write
it. Without the file the newest complete version is served.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from configs.errors import ExportError
from configs.publishing import write_text_atomically
from configs.section import Section
from serving.versions import complete_versions

__all__ = [
    "CHOICE_FILE",
    "Choice",
    "candidates",
    "previous_version",
    "read_choice",
    "version_to_serve",
    "write_choice",
]

CHOICE_FILE = "serving.json"


class Choice(Section):
    """What `serving.json` says."""

    version: Annotated[int, Field(ge=0)] | None = None
    """The only version to serve; None for the newest."""
    withdrawn: list[int] = []
    """Versions that are not served unless they are pinned."""
    reason: str = ""
    """Why, in words."""
    time: str = ""
    """When the file was written, ISO 8601."""


def read_choice(models: str | Path) -> Choice:
    """Reads the choice; where nobody made any, the newest version is to be served.

    Raises:
        ExportError: if the file is damaged.
    """
    path = Path(models) / CHOICE_FILE
    try:
        return Choice.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Choice()
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ExportError(
            f"{path} cannot be read: {error}. Remove it to serve the newest version, or"
            " write it again with `python -m serving publish JOB --pin N`"
        ) from error


def write_choice(models: str | Path, choice: Choice) -> None:
    """Replaces the choice at once, stamped with the time."""
    stamped = choice.model_dump() | {
        "time": datetime.now(UTC).isoformat(timespec="seconds")
    }
    path = Path(models) / CHOICE_FILE
    write_text_atomically(path, json.dumps(stamped, indent=1) + "\n")


def candidates(models: str | Path, choice: Choice) -> dict[int, Path]:
    """Returns the complete versions that may be served, the preferred one first.

    A pinned version has no substitute: it is there, or nothing is.
    """
    complete = complete_versions(models)
    if choice.version is not None:
        chosen = [choice.version] if choice.version in complete else []
    else:
        chosen = sorted(complete.keys() - set(choice.withdrawn), reverse=True)
    return {number: complete[number] for number in chosen}


def version_to_serve(models: str | Path, choice: Choice) -> int | None:
    """Returns the number of the version that servers are to serve, None if none is."""
    return next(iter(candidates(models, choice)), None)


def previous_version(models: str | Path, choice: Choice) -> int | None:
    """Returns the version to go back to: the next lower one that was not withdrawn."""
    served = version_to_serve(models, choice)
    if served is None:
        return None
    unpinned = candidates(models, choice.model_copy(update={"version": None}))
    return max((number for number in unpinned if number < served), default=None)
