"""Reads the body of a predict request: rows (`instances`) or columns (`inputs`)."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from serving.problems import Problem, shown
from serving.server.failures import bad_values, invalid
from serving.server.settings import Limits
from serving.specification import SIGNATURE, Specification
from serving.values import Arrays, columns_of_rows, pack_columns

__all__ = ["Question", "parse_request"]

_KEYS = {"instances", "inputs", "signature_name"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """A checked request.

    Attributes:
        form: whether it came, and is to be answered, in rows or in columns.
        arrays: the packed inputs.
    """

    form: Literal["instances", "inputs"]
    arrays: Arrays


def parse_request(
    body: bytes, specification: Specification, limits: Limits
) -> Question:
    """Parses and checks a request.

    Raises:
        Failure: with status 400, saying what was found and what was expected.
    """
    document = _document(body)
    _check_signature(document.get("signature_name", ""))
    if "instances" in document:
        form: Literal["instances", "inputs"] = "instances"
        columns, problems = _from_rows(document[form], specification, limits)
    else:
        form = "inputs"
        columns, problems = _from_columns(document[form], specification, limits)
    arrays, more = pack_columns(specification, columns, max_values=limits.values)
    missing = {(p.feature, p.row) for p in problems}
    problems += [p for p in more if (p.feature, p.row) not in missing]
    if problems:
        raise bad_values(problems)
    return Question(form=form, arrays=arrays)


def _document(body: bytes) -> dict[str, Any]:
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise invalid("JSON Parse error: nested too deeply") from error
    except ValueError as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise invalid(
            "expected a JSON object with 'instances' or 'inputs', found"
            f" {shown(document)}"
        )
    unknown = document.keys() - _KEYS
    if unknown:
        raise invalid(
            f"unknown key {shown(min(unknown))}; expected one of 'instances' and"
            " 'inputs', and optionally 'signature_name'"
        )
    if ("instances" in document) == ("inputs" in document):
        raise invalid(
            "expected one of the keys 'instances' and 'inputs', found"
            f" {'both' if 'inputs' in document else 'neither'}"
        )
    return document


def _check_signature(name: object) -> None:
    if not isinstance(name, str):
        raise invalid(f"'signature_name' must be text, found {shown(name)}")
    if name not in ("", SIGNATURE):
        raise invalid(
            f"Serving signature name: {shown(name)} not found in signature def;"
            f" expected {SIGNATURE!r}, or none"
        )


def _from_rows(
    rows: object, specification: Specification, limits: Limits
) -> tuple[dict[str, list[Any]], list[Problem]]:
    if not isinstance(rows, list) or not rows:
        raise invalid(
            f"'instances' must be a list of at least one instance, found {shown(rows)}"
        )
    _check_count(len(rows), limits)
    names = specification.column_names()
    if len(names) == 1 and not isinstance(rows[0], dict):
        # With a single input, an instance may be its value.
        return {names[0]: rows}, []
    return columns_of_rows(specification, rows, allow_extra=False)


def _from_columns(
    inputs: object, specification: Specification, limits: Limits
) -> tuple[dict[str, list[Any]], list[Problem]]:
    names = specification.column_names()
    if len(names) == 1 and isinstance(inputs, list):
        inputs = {names[0]: inputs}
    if not isinstance(inputs, dict):
        raise invalid(
            "'inputs' must be an object with a list for each feature, found"
            f" {shown(inputs)}"
        )
    problems = _column_problems(inputs, specification)
    if problems:
        raise bad_values(problems)
    counts = {name: len(inputs[name]) for name in names}
    if len(set(counts.values())) > 1 or not all(counts.values()):
        raise invalid(
            "all features in 'inputs' must have the same number of instances, at least"
            f" one; found {counts}"
        )
    _check_count(counts[names[0]], limits)
    return {name: inputs[name] for name in names}, []


def _column_problems(
    inputs: dict[str, Any], specification: Specification
) -> list[Problem]:
    problems = []
    for column in specification.columns:
        if column.name not in inputs:
            found = "no such member"
        elif not isinstance(inputs[column.name], list):
            found = shown(inputs[column.name])
        else:
            continue
        problems.append(
            Problem(
                feature=column.name,
                row=None,
                found=found,
                expected=f"a list with {column.describe()} for each instance",
            )
        )
    known = specification.column_names()
    for name in inputs.keys() - set(known):
        problems.append(
            Problem(
                feature=name,
                row=None,
                found="an extra feature",
                expected=f"only the features {', '.join(known)}",
            )
        )
    return problems


def _check_count(found: int, limits: Limits) -> None:
    if found > limits.instances:
        raise invalid(
            f"the request has {found} instances, expected at most {limits.instances}:"
            " split it, or start the server with a larger --max-instances"
        )
