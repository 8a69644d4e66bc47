"""Writes docs/job-file.md: every section and field of a job file, from the schema.

`python scripts/document_job_file.py` writes the page; with `--check` it only says
whether the page is current. The words come from the docstrings in `configs`.
"""

import argparse
import ast
import inspect
import itertools
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from configs import Job  # noqa: E402 (after the path)
from configs.section import Section  # noqa: E402

__all__ = ["PAGE", "field_rows", "render_page", "sections"]

PAGE = ROOT / "docs" / "job-file.md"

INTRODUCTION = """\
# The job file

One YAML file describes a job, from the logs to the served model. This page lists every
section and field; it is generated from the schema by `make docs`, so change the
docstrings in `configs/` and not this page.

- Values have the type that they have in YAML: the text `"4096"` is not a number.
- An unknown key, or a key given twice, is an error; the nearest known key is suggested.
- Fields without a default must be given.
- `--set training.batch_size=4096` on any command replaces one value; items of lists are
  counted from 0: `--set model.auxiliary.0.weight=0.05`.
- The resolved job, defaults filled in, is written beside every artifact as `job.yaml`.
- Paths are relative to the folder in which the command runs.
"""

PLAIN_NAMES: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    Any: "anything",
}
SIGNS: dict[type, str] = {Gt: ">", Ge: "≥", Lt: "<", Le: "≤"}


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Yields each section of a job file once, with its place, in the file's order."""
    seen: set[type[Section]] = set()

    def walk(place: str, section: type[Section]) -> Iterator[tuple[str, type[Section]]]:
        if section in seen:
            return
        seen.add(section)
        yield place, section
        for name, field in section.model_fields.items():
            inner = f"{place}.{field.alias or name}" if place else field.alias or name
            if get_origin(field.annotation) is dict:
                inner += ".NAME"
            elif get_origin(field.annotation) is list:
                inner += ".N"
            for child in _sections_in(field.annotation):
                yield from walk(inner, child)

    yield from walk("", Job)


def field_rows(section: type[Section]) -> list[tuple[str, str, str, str]]:
    """Returns key, values, default and meaning of each field of `section`."""
    meanings = _field_docstrings(section)
    return [
        (
            field.alias or name,
            _with_limits(_type_text(field.annotation), field.metadata),
            _default_text(field),
            meanings.get(name) or _meaning_of_sections(field.annotation),
        )
        for name, field in section.model_fields.items()
    ]


def render_page() -> str:
    """Returns the whole page."""
    parts = [INTRODUCTION]
    for place, section in sections():
        parts.append(_render_section(place, section))
    return "\n".join(parts)


def _render_section(place: str, section: type[Section]) -> str:
    lines = [f"## {_heading(place, section)}", ""]
    lines += [inspect.cleandoc(section.__doc__ or ""), ""]
    lines += ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    for row in field_rows(section):
        key, values, default, meaning = (_cell(text) for text in row)
        lines.append(f"| `{key}` | {values} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _heading(place: str, section: type[Section]) -> str:
    if not place:
        return "The whole file"
    return f"`{place}` {_tag(section)}".rstrip()


def _tag(section: type[Section]) -> str:
    """Returns "with `kind: numeric`" for one of several sections of one place."""
    for key in ("kind", "name", "by"):
        field = section.model_fields.get(key)
        if field is not None and field.is_required():
            values = get_args(field.annotation)
            if get_origin(field.annotation) is Literal and len(values) == 1:
                return f"with `{key}: {values[0]}`"
    return ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _sections_in(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [s for inner in get_args(annotation) for s in _sections_in(inner)]


def _meaning_of_sections(annotation: Any) -> str:
    """Returns the first sentence about the section that a field holds, if it is one."""
    found = _sections_in(annotation)
    if len(found) != 1:
        return "See below." if found else ""
    text = " ".join((found[0].__doc__ or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".:") + "."


def _type_text(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in PLAIN_NAMES:
        return PLAIN_NAMES[annotation]
    if origin is typing.Annotated:
        return _with_limits(_type_text(inner[0]), list(inner[1:]))
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        texts = [_type_text(part) for part in inner if part is not type(None)]
        first, *others = dict.fromkeys(texts)
        return " or ".join([first, *(t.removeprefix("section ") for t in others)])
    if origin is list:
        return f"list of {_type_text(inner[0])}"
    if origin is dict:
        return f"mapping from {_type_text(inner[0])} to {_type_text(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return f"section {_tag(annotation)}".rstrip()
    return str(annotation)


def _with_limits(text: str, metadata: list[Any]) -> str:
    limits = []
    for item in metadata:
        function = getattr(getattr(item, "func", None), "__name__", "")
        if function == "_plain_duration":
            return "a duration: `500ms`, `30s`, `30m`, `12h`, `7d`"
        if function == "_plain_moment":
            return "an ISO 8601 date or time, or milliseconds since the epoch"
        if getattr(item, "pattern", None):
            limits.append(f"matching `{item.pattern}`")
        for kind in getattr(item, "metadata", None) or [item]:
            limits += _limit(kind)
    return f"{text} {', '.join(limits)}" if limits else text


def _limit(item: Any) -> list[str]:
    for kind, sign in SIGNS.items():
        if isinstance(item, kind):
            return [f"{sign} {getattr(item, kind.__name__.lower())}"]
    if isinstance(item, MinLen):
        return [f"(at least {item.min_length})"]
    if isinstance(item, MaxLen):
        return [f"(at most {item.max_length})"]
    return []


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is PydanticUndefined or value is None:
        return "absent"
    if isinstance(value, Section):
        chosen = value.model_dump(exclude_unset=True)
        return f"`{chosen}`" if chosen else "its defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list) and any(isinstance(item, Section) for item in value):
        return f"`{[item.model_dump(exclude_unset=True) for item in value]}`"
    return f"`{value}`"


def _field_docstrings(section: type[Section]) -> dict[str, str]:
    """Returns the text that stands under each field, inherited fields included."""
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if not (issubclass(base, Section) and base is not Section):
            continue
        source = ast.parse(textwrap.dedent(inspect.getsource(base)))
        body = typing.cast(ast.ClassDef, source.body[0]).body
        for statement, after in itertools.pairwise(body):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                found[statement.target.id] = str(after.value.value)
    return found


def main() -> int:
    """Writes or checks the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    page = render_page()
    if not arguments.check:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print("docs/job-file.md is not current: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
