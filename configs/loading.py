"""Reads job files: safe YAML, overrides from the command line, readable errors."""

import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from configs.columns import raw_columns
from configs.errors import JobError
from configs.job import Job
from configs.section import suggestion

__all__ = ["dump_job", "load_job", "parse_job"]


def load_job(path: str | Path, overrides: Iterable[str] = ()) -> Job:
    """Reads and checks a job file.

    Args:
        path: the YAML file.
        overrides: `section.key=value` texts; the value is YAML, and is checked like
            one in the file.

    Raises:
        JobError: if the file cannot be read, or anything in it is wrong.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"cannot read the job file {path}: {error}") from error
    return parse_job(text, overrides, origin=str(path))


def parse_job(text: str, overrides: Iterable[str] = (), origin: str = "job") -> Job:
    """As `load_job`, from the text of a job file; errors name it `origin`."""
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise JobError(f"{origin} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise JobError(
            f"{origin}: expected a mapping of sections (name, data, features, ...), got"
            f" {type(values).__name__}"
        )
    for override in overrides:
        _apply(values, override)
    try:
        job = Job.model_validate(values)
    except ValidationError as error:
        lines = [_line(values, dict(problem)) for problem in error.errors()]
        raise JobError(
            f"{origin}: {len(lines)} problem(s)\n" + "\n".join(lines)
        ) from error
    raw_columns(job)  # raises where two features disagree on a column
    return job


def dump_job(job: Job) -> str:
    """Returns the resolved job, defaults filled in, as YAML that `parse_job` reads."""
    values = job.model_dump(by_alias=True, exclude_none=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, and reads 1e-3 as a number."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                break  # the base class words this one
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is given twice",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _apply(values: dict[str, Any], override: str) -> None:
    place, equals, text = override.partition("=")
    keys = place.strip().split(".")
    if not equals or not all(keys):
        raise JobError(
            f"--set {override}: expected section.key=value, such as"
            " training.batch_size=4096"
        )
    target: Any = values
    for depth in range(len(keys) - 1):
        target = _child(target, keys[: depth + 1], override)
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise JobError(
            f"--set {override}: the value is not valid YAML: {error}"
        ) from error
    if isinstance(target, list):
        target[_position(target, keys, override)] = value
    else:
        target[keys[-1]] = value


def _child(target: Any, keys: list[str], override: str) -> Any:
    """Steps to the last of `keys`: into a mapping (made where absent), or to an item
    of a list."""
    if isinstance(target, list):
        child = target[_position(target, keys, override)]
    else:
        child = target.get(keys[-1])
        if child is None:
            child = target[keys[-1]] = {}
    if not isinstance(child, dict | list):
        raise JobError(f"--set {override}: {'.'.join(keys)} is not a section")
    return child


def _position(target: list[Any], keys: list[str], override: str) -> int:
    if re.fullmatch("[0-9]+", keys[-1]) and int(keys[-1]) < len(target):
        return int(keys[-1])
    raise JobError(
        f"--set {override}: {'.'.join(keys[:-1])} has {len(target)} item(s);"
        f" {keys[-1]!r} is none of their numbers (from 0)"
    )


def _line(values: Any, problem: dict[str, Any]) -> str:
    """Words one pydantic problem: where, what, and what was found."""
    place, found = _locate(values, problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        discriminator = context["discriminator"].strip("'")
        expected = re.findall(r"'([^']+)'", context["expected_tags"])
        message = (
            f"no such {discriminator}: {context['tag']!r}."
            f"{suggestion(context['tag'], expected)} Known: {', '.join(expected)}"
        )
    elif problem["type"] == "union_tag_not_found":
        message = f"the key {problem['ctx']['discriminator']} is missing"
    elif problem["type"] == "missing":
        message = "is missing"
    elif not problem["type"].startswith("value_error"):
        message = f"{message[0].lower()}{message[1:]}, got {found!r}"
    return f"  {place}: {message}" if place else f"  {message}"


def _locate(values: Any, location: tuple[str | int, ...]) -> tuple[str, Any]:
    """Returns the dotted place as the user wrote it, and the value there.

    Pydantic puts the tag of a tagged union into the location; it is left out.
    """
    place: list[str] = []
    for depth, key in enumerate(location):
        if isinstance(values, Mapping) and key in values:
            values = values[key]
        elif isinstance(values, list) and isinstance(key, int) and key < len(values):
            values = values[key]
        elif depth < len(location) - 1 or _is_tag(values, key):
            continue
        else:
            values = None
        place.append(str(key))
    return ".".join(place), values


def _is_tag(values: Any, key: str | int) -> bool:
    return isinstance(values, Mapping) and key in (
        values.get("kind"),
        values.get("name"),
        values.get("by"),
    )
