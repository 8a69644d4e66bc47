"""The data section of a written job file."""

from collections.abc import Iterator
from typing import Any

from configs.days import has_day
from preprocessing.planning.draft import Draft
from preprocessing.planning.identifiers import find_moments
from preprocessing.planning.outcomes import Outcome
from preprocessing.planning.sample import Sample
from preprocessing.planning.yaml_lines import Piece, flow

__all__ = ["data_section", "moment_section"]


def data_section(draft: Draft, work: str) -> Iterator[Piece]:
    """Writes the section.

    Args:
        draft: what was found.
        work: folder under which examples, run and models go.
    """
    yield "line", 0, "data:"
    impressions = _files(draft.sample)
    if draft.renamed is not None:
        yield (
            "question",
            2,
            "the files have no header line, so the columns were named here by what they"
            " hold, in order (I: numbers, C: other values): what are their names?",
        )
        impressions["columns"] = draft.renamed
    if has_day(draft.sample.source.pattern):
        yield (
            "comment",
            2,
            "All days are read at once. `preprocessing run JOB --days FIRST..LAST`"
            " makes an example set of each, `preprocessing compare` tells what"
            " changed.",
        )
    yield "line", 2, f"impressions: {flow(impressions)}"
    logs = [outcome for outcome in draft.outcomes if outcome.log is not None]
    if logs:
        yield "line", 2, "events:"
    for outcome in logs:
        yield from _event_log(outcome)
    for kind in ("behaviours", "tables"):
        yield from _beside(draft, kind)
    if draft.alike:
        yield (
            "question",
            2,
            f"{', '.join(draft.alike)} have the columns of the impressions and are not"
            " used. Are they more of the same log? Then give 'path' a glob that finds"
            " all of them. Or a test set of its own? Then keep it for that.",
        )
    for name in draft.unused:
        yield (
            "question",
            2,
            f"the log {name!r} is not used: no column of it names impressions, clicks,"
            " users or items. What is it?",
        )
    for key in ("examples", "run", "models"):
        yield "line", 2, f"{key}: {flow(f'{work}/{key}')}"


def _event_log(outcome: Outcome) -> Iterator[Piece]:
    log = outcome.log
    if log is None:
        return
    answered = "an impression" if log.joins == "impression" else f"a {log.joins}"
    yield (
        "comment",
        4,
        f"{log.matched:.1%} of the sampled {outcome.name} events name {answered} of the"
        " sample",
    )
    if log.matched < 0.8:
        yield (
            "question",
            4,
            f"do the other {1 - log.matched:.1%} of the {outcome.name} events answer"
            " impressions that are not in the logs, or only not in the sample?",
        )
    if not log.sample.complete:
        yield (
            "comment",
            4,
            f"Only a part of this log was read (about {log.sample.rows:,} records), so"
            f" some impressions lack their {outcome.name} in the figures below.",
        )
    section = _files(log.sample) | {"event": log.event, "key": log.key}
    if log.joins != "impression":
        section["joins"] = log.joins
    section["time"] = moment_section(log.time.column, log.time.unit)
    yield "line", 4, f"{outcome.name}: {flow(section)}"


def _beside(draft: Draft, kind: str) -> Iterator[Piece]:
    """Writes the logs of behaviors, or the side tables."""
    logs = [log for log in draft.beside if kind.startswith(log.kind)]
    if logs:
        yield "line", 2, f"{kind}:"
    for log in logs:
        yield (
            "comment",
            4,
            f"{log.name} has the {log.of} of {log.matched:.1%} of the sampled"
            " impressions",
        )
        section = _files(log.sample)
        if log.kind == "table":
            section["key"] = log.key
            if log.key != log.matches:
                section["matches"] = log.matches
            known = find_moments(log.columns)
            if log.time is None and known:
                yield (
                    "question",
                    4,
                    f"each {log.of} has one row, so {log.name} is taken to hold at all"
                    f" times. Or does a row hold from {known[0].column} on? Then it"
                    " needs 'time', lest impressions see what was later.",
                )
        else:
            section |= {"event": log.event} if log.event is not None else {}
            section["user"] = log.key
        if log.time is not None:
            section["time"] = moment_section(log.time.column, log.time.unit)
        yield "line", 4, f"{log.name}: {flow(section)}"


def _files(sample: Sample) -> dict[str, Any]:
    section: dict[str, Any] = {"path": sample.source.pattern}
    if sample.source.format is not None:
        section["format"] = sample.source.format
    return section


def moment_section(column: str, unit: str) -> Any:
    """Returns a time column as the job file has it."""
    return column if unit == "ms" else {"column": column, "unit": unit}
