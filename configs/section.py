"""The base of every section of a job file: typed, frozen, and strict about its keys."""

import difflib
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Key", "Section", "suggestion"]

Key = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""A name that the user gives to a feature, field or label. It becomes part of file
names and has no dots: `history.item` is the field `item` of the sequence `history`."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Returns `" Did you mean 'x'?"` for the nearest known word, or an empty string."""
    nearest = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


class Section(BaseModel):
    """A part of the job file.

    Values are taken as they are typed in YAML: the text "4096" is not a number, `true`
    is not 1. Unknown keys are refused, with the nearest known key as a suggestion.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            names = [f.alias or name for name, f in cls.model_fields.items()]
            for key in values:
                if key not in names:
                    raise ValueError(
                        f"unknown key {key!r}.{suggestion(str(key), names)}"
                        f" Known keys here: {', '.join(names)}"
                    )
        return values
