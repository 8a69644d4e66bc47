"""What is wrong with the values of a request, feature by feature."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Problem", "listed", "shown"]

_SHOWN_CHARACTERS = 60
_SHOWN_PROBLEMS = 20


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with a request.

    Attributes:
        feature: the column, None if the whole row is meant.
        row: position in the batch from 0, None if the whole column is meant.
        found: what was found, in words.
        expected: what was expected, in words.
    """

    feature: str | None
    row: int | None
    found: str
    expected: str

    def __str__(self) -> str:
        place = [] if self.row is None else [f"instance {self.row}"]
        if self.feature is not None:
            place.append(f"feature {json.dumps(self.feature)}")
        what = f"expected {self.expected}, found {self.found}"
        return f"{', '.join(place)}: {what}" if place else what

    def as_json(self) -> dict[str, Any]:
        """Returns the members of an entry in an error answer."""
        return {
            "feature": self.feature,
            "instance": self.row,
            "found": self.found,
            "expected": self.expected,
        }


def listed(problems: Sequence[Problem]) -> list[Problem]:
    """Returns the problems to show: the first ones, in the order of rows."""
    ordered = sorted(problems, key=lambda p: -1 if p.row is None else p.row)
    return ordered[:_SHOWN_PROBLEMS]


def shown(value: object) -> str:
    """Returns a JSON value as text for a message, cut where it is long."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return f"an object with {len(value)} member(s)"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    try:
        # Also escapes what a terminal or an encoder could stumble over.
        text = json.dumps(value)
    except ValueError:  # An integer of thousands of digits.
        text = "an integer of thousands of digits"
    if len(text) > _SHOWN_CHARACTERS:
        text = text[:_SHOWN_CHARACTERS] + "..."
    kind = {bool: "", str: "the text ", int: "the number ", float: "the number "}
    return f"{kind.get(type(value), '')}{text}"
