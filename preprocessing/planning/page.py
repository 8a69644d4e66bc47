"""The HTML page of a plan: what was found in the sample, with plots."""

from collections.abc import Iterator
from html import escape

import numpy as np
import numpy.typing as npt

from configs.durations import duration_ms
from preprocessing.pages import bullets, card, page, table
from preprocessing.planning.columns import Column
from preprocessing.planning.delays import WINDOWS, DelayCurve
from preprocessing.planning.draft import Draft
from preprocessing.planning.job_text import JobText
from preprocessing.planning.outcomes import Outcome
from preprocessing.planning.sizes import moment_text, no_positive
from preprocessing.plots import bars, curve

__all__ = ["write_page"]

_TOP_VALUES = 20
_BINS = 24
_MOMENTS = 40

Floats = npt.NDArray[np.float64]


def write_page(draft: Draft, text: JobText, name: str) -> str:
    """Returns the page as HTML, in one piece."""
    sample = draft.sample
    whole = "all of them" if sample.complete else f"of about {sample.rows:,}"
    parts = [
        f"<p>{sample.table.num_rows:,} records of"
        f" <code>{escape(sample.source.pattern)}</code> were read ({whole}). Figures of"
        " values and rates are those of this sample.</p>",
        "<h2>Questions</h2>",
        bullets(text.questions) if text.questions else "<p>None.</p>",
        "<h2>Labels</h2>",
        *_labels(draft),
        "<h2>Batches</h2>",
        _batches(draft),
    ]
    if draft.range is not None:
        parts += ["<h2>Over time</h2>", _over_time(draft)]
    parts += [
        "<h2>Features</h2>",
        f"<p>Bars: share of the rows. Dots, and the axis at the right: share of"
        f" {escape(draft.outcomes[0].name)} among them.</p>",
        f'<div class="cards">{"".join(_features(draft))}</div>',
        "<h2>Left out</h2>",
        table(
            ("column", "why"),
            [(f.name, f.note) for f in draft.features if f.definition is None],
        ),
        "<h2>The job file</h2>",
        f"<pre>{escape(chr(10).join(text.lines))}</pre>",
    ]
    return page(f"Plan of {name}", parts)


def _labels(draft: Draft) -> Iterator[str]:
    yield table(
        ("label", "from", "positives", "rate", "after", "window"),
        [
            (
                outcome.name,
                outcome.column
                or (outcome.log.sample.source.pattern if outcome.log else ""),
                f"{outcome.positives:,}",
                f"{outcome.rate:.3%}",
                outcome.after or "",
                outcome.window or "",
            )
            for outcome in draft.outcomes
        ],
    )
    cards = [
        _delays(outcome, draft.curves[outcome.name])
        for outcome in draft.outcomes
        if outcome.name in draft.curves
    ]
    if cards:
        yield f'<div class="cards">{"".join(cards)}</div>'


def _delays(outcome: Outcome, found: DelayCurve) -> str:
    lost = [found.lost(duration_ms(window)) for window in WINDOWS]
    until = next((n for n, share in enumerate(lost) if share < 5e-4), len(lost) - 1)
    shown = range(min(until + 2, len(WINDOWS)))
    marked = WINDOWS.index(outcome.window) if outcome.window in WINDOWS else None
    plot = curve(
        [WINDOWS[n] for n in shown],
        [("lost", [lost[n] for n in shown])],
        marked=marked if marked in shown else None,
        highest=1.0,
    )
    note = f"share of {outcome.name} lost by a window, from {found.events:,} delays"
    return card(f"Delay of {outcome.name}", note, plot)


def _batches(draft: Draft) -> str:
    sizes = draft.sizes
    rows = [
        (
            f"{size:,}",
            f"{size * sizes.sampled_rate:.1f}",
            f"{no_positive(sizes.sampled_rate, size):.2g}",
            f"{sizes.training_rows / size:,.0f}",
        )
        for size in (256, 512, 1024, 2048, 4096, 8192, 16_384)
    ]
    return table(
        ("batch size", "positives", "share of batches without any", "steps an epoch"),
        rows,
        [
            "warn" if sizes.batch_size == int(row[0].replace(",", "")) else ""
            for row in rows
        ],
    )


def _over_time(draft: Draft) -> str:
    if draft.ids.time is None:
        return ""
    times = draft.columns[draft.ids.time.column].times(draft.ids.time.unit)
    edges = np.linspace(times.min(), times.max() + 1, _MOMENTS + 1)
    place = np.clip(np.digitize(times, edges) - 1, 0, _MOMENTS - 1)
    rows = np.bincount(place, minlength=_MOMENTS)
    names = [
        moment_text(round(edge / 60_000) * 60_000)[5:16].replace("T", " ")
        for edge in edges[:-1]
    ]
    cards = [
        card(
            "Rows",
            "records of the sample",
            bars(names, [("rows", list(rows))], percent=False),
        )
    ]
    for outcome in draft.outcomes:
        found = np.bincount(place, weights=outcome.values, minlength=_MOMENTS)
        rates = list(found / np.maximum(rows, 1))
        cards.append(
            card(f"Rate of {outcome.name}", "by time", curve(names, [("rate", rates)]))
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _features(draft: Draft) -> Iterator[str]:
    for feature in draft.features:
        if feature.definition is None or not feature.columns:
            continue
        column = feature.source or draft.columns[feature.columns[0]]
        # Rows of other logs are no impressions: they have no label.
        label = draft.outcomes[0].values if feature.source is None else None
        kind = feature.definition["kind"]
        if column.lists is not None:
            plot = _lengths(column, label)
        elif kind == "numeric" and column.numbers is not None:
            plot = _histogram(column.numbers, label)
        else:
            plot = _top_values(column, label)
        group = feature.definition.get("group", "context")
        yield card(feature.name, f"{kind}, {group}: {feature.note}", plot)


def _top_values(column: Column, label: Floats | None) -> str:
    order = np.argsort(-column.counts, kind="stable")[:_TOP_VALUES]
    if column.numbers is not None and len(column.values) <= _TOP_VALUES + 5:
        # Hours, levels and the like: in their own order.
        number = {n: float(column.values[n]) for n in range(len(column.values))}
        order = np.array(sorted(number, key=lambda n: number[n]), np.int64)
    position = np.full(len(column.values), len(order))
    position[order] = np.arange(len(order))
    codes = column.codes
    place = np.where(codes >= 0, position[np.maximum(codes, 0)], len(order) + 1)
    names = [*(column.values[n] for n in order), "others", "missing"]
    return _share_and_rate(names, place, label)


def _histogram(numbers: Floats, label: Floats | None) -> str:
    known = ~np.isnan(numbers)
    low, high = np.quantile(numbers[known], [0.005, 0.995])
    heavy = low >= 0 and high > 20 * max(float(np.median(numbers[known])), 1e-9)
    start, end = (np.log1p(low), np.log1p(high)) if heavy else (low, high)
    edges = np.linspace(start, max(end, start + 1e-9), _BINS + 1)
    edges = np.expm1(edges) if heavy else edges
    inside = np.clip(np.digitize(numbers[known], edges) - 1, 0, _BINS - 1)
    place = np.full(len(numbers), _BINS)
    place[known] = inside
    return _share_and_rate(
        [*(f"{edge:.3g}" for edge in edges[:-1]), "missing"], place, label
    )


def _lengths(column: Column, label: Floats | None) -> str:
    lengths = (
        column.lists.lengths if column.lists is not None else np.zeros(0, np.int64)
    )
    longest = max(int(np.quantile(lengths, 0.99)), 1)
    step = -(-longest // _BINS)
    place = np.minimum(-(-lengths // step), _BINS)
    names = ["0", *(str(n * step) for n in range(1, _BINS + 1))]
    used = int(place.max()) + 1
    return _share_and_rate(names[:used], place, label)


def _share_and_rate(
    names: list[str], place: npt.NDArray[np.int64], label: Floats | None
) -> str:
    rows = np.bincount(place, minlength=len(names))
    filled = [n for n in range(len(names)) if rows[n]]
    dots = None
    if label is not None:
        ones = np.bincount(place, weights=label, minlength=len(names))
        dots = ("rate", [float(ones[n] / rows[n]) for n in filled])
    return bars(
        [names[n] for n in filled],
        [("share of rows", [float(rows[n] / len(place)) for n in filled])],
        dots,
    )
