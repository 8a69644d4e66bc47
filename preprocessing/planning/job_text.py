"""Writes a draft as a job file: YAML that runs as it is, with comments."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from configs.data import ROW_NUMBER
from preprocessing.planning.delays import DelayCurve
from preprocessing.planning.draft import Draft
from preprocessing.planning.identifiers import Ids
from preprocessing.planning.job_data import data_section, moment_section
from preprocessing.planning.job_sections import (
    dead_letter_lines,
    label_comments,
    label_section,
    sampling_comments,
    split_comments,
    training_comments,
)
from preprocessing.planning.proposals import Proposal, seen_often
from preprocessing.planning.sizes import moment_text
from preprocessing.planning.yaml_lines import Piece, flow

__all__ = ["JobText", "write_job"]

_WIDTH = 88


@dataclass(kw_only=True)
class JobText:
    """A job file in the making.

    Attributes:
        lines: written so far.
        questions: what the user should answer, in the order of the file.
    """

    lines: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    def line(self, text: str = "") -> None:
        """Adds a line."""
        self.lines.append(text)

    def comment(self, text: str, indent: int = 0) -> None:
        """Adds a comment, broken into lines."""
        start = " " * indent + "# "
        self.lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=start,
            subsequent_indent=start,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def question(self, text: str, indent: int = 0) -> None:
        """Adds a comment that asks something."""
        self.questions.append(text)
        self.comment(f"QUESTION: {text}", indent)


def write_job(
    draft: Draft, *, name: str, work: str, command: str, remark: str | None = None
) -> JobText:
    """Writes the job.

    Args:
        draft: what was found.
        name: of the job.
        work: folder under which examples, run and models go.
        command: that asked for it, for the first comment.
        remark: what was done to the logs before, as a question, or None.
    """
    text = JobText()
    for part in (
        _head(draft, name, command, remark),
        data_section(draft, work),
        _features(draft),
        _ids(draft),
        _labels(draft),
        _preprocessing(draft),
        _model(draft),
        _training(draft),
    ):
        for kind, indent, content in part:
            if kind == "line":
                text.line(" " * indent + content)
            elif kind == "comment":
                text.comment(content, indent)
            else:
                text.question(content, indent)
        text.line()
    text.lines.pop()
    return text


def _head(draft: Draft, name: str, command: str, remark: str | None) -> Iterator[Piece]:
    sample = draft.sample
    read = f"{sample.table.num_rows:,} records"
    whole = "all there are" if sample.complete else f"of about {sample.rows:,}"
    yield (
        "comment",
        0,
        f"A first job, written by `{command}` from {read} of {sample.source.pattern}"
        f" ({whole}). Guessed from names and values: read the comments, and answer the"
        " lines that begin with QUESTION. Then:",
    )
    for step in ("preprocessing run", "trainer train", "trainer evaluate"):
        yield "line", 0, f"#   python -m {step} JOB"
    if remark is not None:
        yield "question", 0, remark
    yield "line", 0, f"name: {name}"


def _features(draft: Draft) -> Iterator[Piece]:
    if not draft.sample.complete:
        yield (
            "comment",
            0,
            "Numbers of values are those of the sample; for the whole log they are"
            " grown on as they grew from its first half to all of it.",
        )
    yield "line", 0, "features:"
    for feature in draft.features:
        if feature.definition is None:
            continue
        yield "comment", 2, feature.note + _kept_values(draft, feature)
        if feature.question is not None:
            yield "question", 2, f"{feature.name}: {feature.question}"
        yield from _feature(feature.name, feature.definition)
    unsure = [f.name for f in draft.features if f.unsure]
    if unsure:
        yield (
            "question",
            2,
            f"amounts by their values, with no name that tells: {', '.join(unsure)}. Or"
            " are any of them codes (categorical)?",
        )
    left_out = [f for f in draft.features if f.definition is None]
    if left_out:
        yield "comment", 2, "Left out:"
    for feature in left_out:
        yield "comment", 4, f"{feature.name}: {feature.note}"


def _kept_values(draft: Draft, feature: Proposal) -> str:
    """Says how many rows have a value that gets a row of the table."""
    definition = feature.definition or {}
    vocabulary = definition.get("embedding", {}).get("vocabulary", {})
    count = vocabulary.get("min_count")
    if count is None or definition["kind"] != "categorical" or feature.source:
        return ""
    share = seen_often(draft.columns[feature.columns[0]], count)
    return f"; {share:.1%} of the rows have one that is there {count} times or more"


def _feature(name: str, definition: dict[str, Any]) -> Iterator[Piece]:
    if "fields" not in definition:
        yield "line", 2, f"{name}: {flow(definition)}"
        return
    yield "line", 2, f"{name}:"
    for key, value in definition.items():
        if key == "fields":
            yield "line", 4, "fields:"
            for field_name, inner in value.items():
                yield "line", 6, f"{field_name}: {flow(inner)}"
        else:
            yield "line", 4, f"{key}: {flow(value)}"


def _event_and_time(ids: Ids) -> Iterator[Piece]:
    """Asks about the ids and times of rows."""
    if ids.event == ROW_NUMBER:
        yield (
            "question",
            0,
            "no column is the id of an impression, so the number of the record stands"
            " for it, and records that are there twice are two. Can an id be logged?",
        )
    if ids.time is None:
        yield (
            "question",
            0,
            "no column is the time of the impression, so the number of the record"
            " stands for it. Can the time be logged? Without it there are no windows,"
            " no split by time and no histories.",
        )
    elif not ids.time.certain:
        yield (
            "question",
            0,
            f"{ids.time.column} holds no times since 1970: in which unit is it?",
        )
    elif len(ids.moments) > 1:
        others = ", ".join(m.column for m in ids.moments if m != ids.time)
        yield (
            "comment",
            0,
            f"{ids.time.column} is taken for the impression's time, {others} is not.",
        )


def _ids(draft: Draft) -> Iterator[Piece]:
    ids = draft.ids
    yield from _event_and_time(ids)
    for kind in ids.weak & set(ids.others):
        yield (
            "question",
            0,
            f"is {ids.others[kind]} the id of the {kind}? It is the nearest by name.",
        )
    for kind, column in ids.incomplete.items():
        if kind not in ids.others:
            yield (
                "question",
                0,
                f"{column} may be the id of the {kind}, but some rows have none, and an"
                " id may not be missing. Can it be filled in?",
            )
    if "user" not in ids.others:
        yield "question", 0, "which column is the user? GAUC and UIM need it."
    yield "line", 0, "ids:"
    yield "line", 2, f"event: {flow(ids.event)}"
    time = (
        ROW_NUMBER
        if ids.time is None
        else moment_section(ids.time.column, ids.time.unit)
    )
    yield "line", 2, f"time: {flow(time)}"
    for kind, column in ids.others.items():
        yield "line", 2, f"{kind}: {flow(column)}"


def _labels(draft: Draft) -> Iterator[Piece]:
    for outcome in draft.outcomes:
        curve: DelayCurve | None = draft.curves.get(outcome.name)
        for kind, content in label_comments(draft, outcome, curve):
            yield kind, 0, content
    yield "line", 0, "labels:"
    for outcome in draft.outcomes:
        yield "line", 2, f"{outcome.name}: {flow(label_section(outcome))}"


def _preprocessing(draft: Draft) -> Iterator[Piece]:
    sizes = draft.sizes
    yield "line", 0, "preprocessing:"
    for content in sampling_comments(draft):
        yield "comment", 2, content
    if sizes.keep_rate < 1.0:
        yield "line", 2, f"sampling: {{negative_keep_rate: {sizes.keep_rate:g}}}"
    for kind, content in dead_letter_lines(draft):
        yield kind, 2, content
    for kind, content in split_comments(draft):
        yield kind, 2, content
    if sizes.split is None:
        key = next(
            (k for k in ("request", "session") if k in draft.ids.others), "event"
        )
        rule = {"by": "hash", "key": key, "validation": 0.1, "test": 0.1}
        yield "line", 2, f"split: {flow(rule)}"
        return
    first, second = (moment_text(moment) for moment in sizes.split)
    yield "line", 2, "split:"
    yield "line", 4, "by: time"
    yield "line", 4, f"train: {{until: {json.dumps(first)}}}"
    yield (
        "line",
        4,
        (f"validation: {{from: {json.dumps(first)}, until: {json.dumps(second)}}}"),
    )
    yield "line", 4, f"test: {{from: {json.dumps(second)}}}"


def _model(draft: Draft) -> Iterator[Piece]:
    sequences = any(f.get("kind") == "sequence" for f in draft.proposed.values())
    yield "line", 0, "model:"
    yield "line", 2, "embedding_dim: 16"
    if sequences:
        yield "line", 2, "backbone: {name: din, hidden: [128, 64]}"
    else:
        yield "line", 2, "backbone: {name: dcn_v2, cross_layers: 2, hidden: [128, 64]}"
    yield "line", 2, "tasks:"
    for place, outcome in enumerate(draft.outcomes):
        if outcome.after is not None:
            yield (
                "comment",
                4,
                f"learned on the rows with {outcome.after} = 1 alone, and predicted"
                f" given that: p({outcome.name} | {outcome.after})",
            )
            yield "line", 4, f"{outcome.name}: {{given: {outcome.after}}}"
        elif place == 0:
            yield (
                "comment",
                4,
                "cross-entropy, and the pairs of positive and negative in the batch",
            )
            loss = "{losses: [{name: combined_pair, alpha: 0.9}]}"
            yield "line", 4, f"{outcome.name}: {loss}"
        else:
            yield "line", 4, f"{outcome.name}: {{losses: [{{name: bce}}]}}"


def _training(draft: Draft) -> Iterator[Piece]:
    yield "line", 0, "training:"
    for kind, content in training_comments(draft):
        yield kind, 2, content
    yield "line", 2, f"batch_size: {draft.sizes.batch_size}"
    yield "line", 2, f"epochs: {1 if draft.sizes.training_rows > 500_000 else 2}"
    yield "line", 2, "optimizer:"
    yield "line", 4, "dense:      {name: adam, learning_rate: 0.001}"
    yield "line", 4, "embeddings: {name: lazy_adam, learning_rate: 0.001}"
