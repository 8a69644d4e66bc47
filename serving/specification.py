"""What an exported model is asked, and what it answers.

The specification is written into every exported version, so that the server, `predict`
and any client know the form of a request without the job, the trainer or its data.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, PositiveInt, ValidationError

from configs.columns import RawColumn, raw_columns
from configs.contract import data_contract, fingerprint
from configs.errors import ExportError
from configs.job import Job
from configs.section import Section
from configs.times import TimeUnit, spelled_time
from serving.input_names import standins

__all__ = [
    "EXTRA",
    "SIGNATURE",
    "SPECIFICATION_FILE",
    "Column",
    "Specification",
    "read_specification",
    "specification_of",
]

EXTRA = "assets.extra"
"""Folder of a SavedModel that TensorFlow Serving leaves to others."""

SPECIFICATION_FILE = f"{EXTRA}/request.json"

SIGNATURE = "serving_default"
"""Name of the one signature; also what an absent signature name means."""


class _Record(Section):
    model_config = ConfigDict(strict=False)


class Column(_Record):
    """One raw column of a request; see `configs.columns.RawColumn`.

    `input` is the keyword that `tf.saved_model.load` gives the column, where that is
    not its name; see `serving.input_names`.
    """

    name: str
    type: Literal["string", "int64", "number", "time"]
    is_list: bool = False
    length: PositiveInt | None = None
    aligned_with: str | None = None
    input: str | None = None
    unit: TimeUnit | None = None
    non_negative: bool = False

    @property
    def keyword(self) -> str:
        """The name of the column's input when the SavedModel is called from Python."""
        return self.input or self.name

    @property
    def dtype(self) -> Literal["float32", "int64", "string"]:
        """Of the input of the graph: times are int64, in milliseconds."""
        if self.type == "time":
            return "int64"
        return "float32" if self.is_number else "string"

    @property
    def is_number(self) -> bool:
        """Whether values are floats and not categorical texts."""
        return self.type == "number"

    def describe(self) -> str:
        """Returns the expected value in words, for messages."""
        if self.type == "time":
            return f"a time in {self.unit!r}"
        if self.is_list:
            many = {"string": "texts", "int64": "integers", "number": "numbers"}
            count = f"{self.length} " if self.length else ""
            return f"a list of {count}{many[self.type]}"
        return {"string": "text", "int64": "an integer", "number": "a number"}[
            self.type
        ]

    def example(self) -> Any:
        """Returns a value of the right form."""
        if self.type == "time":
            return spelled_time(1_500_000_000_000, self.unit or "ms")
        one: Any = {"string": "text", "int64": 7, "number": 0.5}[self.type]
        if self.length is not None:
            return [one] * self.length
        return [one, one] if self.is_list else one


class Specification(_Record):
    """Of the requests to one exported model.

    Attributes:
        name: under which the model is served.
        fingerprint: of the data contract of the examples that it was trained on.
        columns: the inputs, in the order of the job's features.
        outputs: the tasks, and the conditionals of those over the entire space; each
            output is a calibrated probability.
    """

    name: str
    fingerprint: str
    columns: list[Column] = Field(min_length=1)
    outputs: list[str] = Field(min_length=1)

    def column_names(self) -> list[str]:
        """Returns the names of the inputs, in order."""
        return [column.name for column in self.columns]

    def sequences(self) -> Iterator[list[Column]]:
        """Yields the columns of each sequence, and multi-valued ones with their
        weights; their lists are as long as those of the first."""
        firsts = {column.name: column for column in self.columns}
        groups: dict[str, list[Column]] = {}
        for column in self.columns:
            first = column.aligned_with
            if first is not None:
                group = groups.setdefault(first, [firsts[first]])
                if column.name != first:
                    group.append(column)
        yield from groups.values()

    def example_row(self) -> dict[str, Any]:
        """Returns one instance of the right form."""
        return {column.name: column.example() for column in self.columns}

    def missing_row(self) -> dict[str, Any]:
        """Returns the instance of which nothing is known."""
        return dict.fromkeys(self.column_names())


def specification_of(job: Job) -> Specification:
    """Derives the form of requests to a model of `job`."""
    columns = raw_columns(job)
    inputs = standins(list(columns))
    return Specification(
        name=job.name,
        fingerprint=fingerprint(data_contract(job)),
        columns=[_column(*c) for c in zip(columns.values(), inputs, strict=True)],
        outputs=[*job.model.tasks, *job.model.conditionals.values()],
    )


def read_specification(folder: str | Path) -> Specification:
    """Reads the specification of an exported version.

    Raises:
        ExportError: if the folder holds none, or a damaged one.
    """
    path = Path(folder) / SPECIFICATION_FILE
    try:
        return Specification.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExportError(
            f"{folder} was not exported by `python -m serving export`: it has no"
            f" {SPECIFICATION_FILE}. Name the folder of a version, such as models/1"
        ) from None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ExportError(
            f"{path} cannot be read: {error}. Export the model again"
        ) from error


def _column(column: RawColumn, standin: str | None) -> Column:
    return Column(
        name=column.name,
        type=column.type,
        is_list=column.is_list,
        length=column.length,
        aligned_with=column.aligned_with,
        input=standin,
        unit=column.unit,
        non_negative=column.non_negative,
    )
