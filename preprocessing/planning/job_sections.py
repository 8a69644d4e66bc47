"""The comments of a written job file on labels, sampling, split and batches."""

import math
from collections.abc import Iterator
from typing import Any

from configs.durations import duration_ms
from preprocessing.planning.delays import WINDOWS, DelayCurve
from preprocessing.planning.draft import Draft
from preprocessing.planning.outcomes import Outcome
from preprocessing.planning.sizes import (
    POSITIVES_WANTED,
    keep_rate,
    moment_text,
    no_positive,
)

__all__ = [
    "dead_letter_lines",
    "duration_text",
    "label_comments",
    "label_section",
    "sampling_comments",
    "split_comments",
    "training_comments",
]

Remark = tuple[str, str]
"""`comment`, `question` or `line`, and the text."""


def label_section(outcome: Outcome) -> dict[str, Any]:
    """Returns the section of a label."""
    section: dict[str, Any] = {}
    if outcome.after is not None:
        section["after"] = outcome.after
    if outcome.column is not None:
        section["column"] = outcome.column
    else:
        section["window"] = outcome.window
    if outcome.truth is not None:
        section["truth"] = outcome.truth
    return section


def label_comments(
    draft: Draft, outcome: Outcome, curve: DelayCurve | None
) -> Iterator[Remark]:
    """Says how frequent a label is, and how late."""
    rows = len(outcome.values)
    yield (
        "comment",
        f"{outcome.name}: 1 in {outcome.positives:,} of {rows:,} sampled rows"
        f" ({outcome.rate:.3%})" + "".join(f"; {note}" for note in outcome.notes),
    )
    if not outcome.certain:
        yield (
            "question",
            f"is the column {outcome.column} the label? It holds 0 and 1, and no name"
            " tells.",
        )
    if outcome.after is not None:
        yield "comment", f"  It is 1 only where {outcome.after} is."
    if curve is None:
        if outcome.log is None:
            yield (
                "question",
                f"how late did {outcome.name} come at most? The logs hold no time of"
                " it, so nothing tells whether labels of late rows are still to come.",
            )
        return
    yield from _delay_comments(outcome, curve)


def _delay_comments(outcome: Outcome, curve: DelayCurve) -> Iterator[Remark]:
    yield "comment", f"  Delays of {curve.events:,} events: {_quantiles(curve)}."
    yield "comment", f"  Lost by a window of {_losses(curve, outcome.window)}."
    if curve.earlier:
        yield (
            "question",
            f"{curve.earlier:,} {outcome.name} events come before their impression and"
            " count for nothing: do the clocks differ?",
        )
    if outcome.log is None:
        yield (
            "comment",
            "  The label is a column, so no window is applied: it is as late as it was"
            " when the log was written.",
        )
    elif curve.lost(duration_ms(outcome.window or "0s")) > 0.02:
        yield (
            "question",
            f"a window that loses less of {outcome.name} is longer than a quarter of"
            " the log, and impressions whose window is still open at its end are left"
            " out: is there a longer log?",
        )


def sampling_comments(draft: Draft) -> Iterator[str]:
    """Says why negatives are dropped, or are not."""
    sizes, first = draft.sizes, draft.outcomes[0].name
    rows = draft.sample.rows
    if sizes.keep_rate < 1.0:
        yield (
            f"{sizes.rate:.3%} of about {rows:,} rows are positive ({first}). With this"
            f" share of the negatives {sizes.sampled_rate:.1%} of the training rows"
            " are; predictions are corrected for it."
        )
        return
    would = keep_rate(10**9, sizes.rate)
    more = "" if would == 1.0 else f" (a large log would do with {would:g})"
    yield (
        f"All negatives are kept: {sizes.rate:.3%} of about {rows:,} rows are positive"
        f" ({first}), too few rows to drop any{more}."
        if would < 1.0
        else f"All negatives are kept: {sizes.rate:.2%} of the rows are positive"
        f" ({first})."
    )


def dead_letter_lines(draft: Draft) -> Iterator[Remark]:
    """Raises the share of records that may be dead where the logs need it."""
    logs = [outcome.log for outcome in draft.outcomes if outcome.log is not None]
    whole = [log for log in logs if log.sample.complete and draft.sample.complete]
    worst = max((1.0 - log.matched for log in whole), default=0.0)
    if worst < 0.008:
        return
    yield (
        "question",
        f"{worst:.1%} of the events of a log answer nothing that is in the logs, and"
        " are left out; ordinarily more than 1% end the job. Is a log incomplete?",
    )
    yield "line", f"dead_letters: {{max_share: {math.ceil(worst * 120 + 1) / 100:g}}}"


def split_comments(draft: Draft) -> Iterator[Remark]:
    """Says how the rows are split, and what the parts hold."""
    range_, sizes = draft.range, draft.sizes
    if sizes.split is None:
        why = (
            "there are no times"
            if range_ is None
            else "the sample does not show where the times end"
            if not range_.known
            else "the times span too little"
        )
        yield (
            "question",
            f"the split is by hash, because {why}. A split by time says more of how the"
            " model will do: can one be made?",
        )
    else:
        yield (
            "comment",
            f"The log runs from {moment_text(range_.first)} to"
            f" {moment_text(range_.last)} UTC."
            if range_ is not None
            else "",
        )
    for outcome in draft.outcomes:
        if outcome.after is None and outcome.rate * draft.sample.rows * 0.1 < 100:
            expected = outcome.rate * draft.sample.rows * 0.1
            yield (
                "question",
                f"a tenth of the log has only about {expected:.0f} positives of"
                f" {outcome.name}: metrics of the validation and test splits will be"
                " noise. Is there a longer log?",
            )


def training_comments(draft: Draft) -> Iterator[Remark]:
    """Says how many positives batches have."""
    sizes = draft.sizes
    rate, entries = sizes.sampled_rate, []
    for size in (256, 512, 1024, 2048, 4096, 8192, 16_384):
        none = no_positive(rate, size)
        entries.append(f"{size}: {size * rate:.1f} ({none:.2g})")
        if none < 1e-6:
            break
    table = ", ".join(entries)
    yield (
        "comment",
        f"Positives of {draft.outcomes[0].name} in a batch (and the share of batches"
        f" without any): {table}.",
    )
    if sizes.batch_size * sizes.sampled_rate < POSITIVES_WANTED:
        yield (
            "question",
            f"about {sizes.training_rows:,} training rows are too few for batches with"
            f" {POSITIVES_WANTED} positives; smaller ones have"
            f" {sizes.batch_size * sizes.sampled_rate:.1f}. Is there a longer log?",
        )


def duration_text(milliseconds: int) -> str:
    """Writes a duration for people, such as `2.5h`."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        if milliseconds >= size:
            return f"{milliseconds / size:.3g}{unit}"
    return f"{milliseconds / 1_000:.3g}s"


def _quantiles(curve: DelayCurve) -> str:
    parts = [
        f"{share:.0%} within {duration_text(curve.quantile(share))}"
        for share in (0.5, 0.9, 0.99)
    ]
    return ", ".join(parts)


def _losses(curve: DelayCurve, window: str | None) -> str:
    """Lists the share that each window loses, from the last that loses 99% to the first
    that loses less than 0.1%."""
    chosen = []
    for candidate in WINDOWS:
        lost = curve.lost(duration_ms(candidate))
        if lost > 0.99 and candidate != window:
            continue
        chosen.append(f"{candidate}: {lost:.1%}")
        if lost < 0.001:
            break
    return ", ".join(chosen)
