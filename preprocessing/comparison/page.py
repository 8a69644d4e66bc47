"""The report of comparisons as an HTML page."""

from collections.abc import Iterator, Sequence
from html import escape

from preprocessing.comparison.compare import Comparison, InputDrift
from preprocessing.comparison.text import figure_text
from preprocessing.pages import bullets, card, page, table
from preprocessing.plots import bars, curve

__all__ = ["write_page"]

_MOST_BARS = 22


def write_page(comparisons: Sequence[Comparison], title: str) -> str:
    """Returns the page as HTML, in one piece."""
    parts: list[str] = []
    if len(comparisons) > 1:
        parts += ["<h2>Over time</h2>", *_over_time(comparisons)]
    for found in comparisons:
        parts.append(f"<h2>{escape(found.after)} against {escape(found.before)}</h2>")
        parts += _comparison(found)
    return page(title, parts)


def _comparison(found: Comparison) -> Iterator[str]:
    beyond = [d for d in found.differences if d.level]
    count = len(found.differences)
    yield f"<p>{len(beyond)} of {count} figures are beyond a limit.</p>"
    rows, classes = [], []
    for figure in found.differences:
        rows.append(
            (
                figure.what,
                figure.measure,
                figure_text(figure, figure.before),
                figure_text(figure, figure.after),
                "" if figure.limit is None else f"{figure.limit:g}",
            )
        )
        classes.append(figure.level)
    yield table(("", "figure", found.before, found.after, "limit"), rows, classes)
    if found.notes:
        yield bullets(dict.fromkeys(found.notes))
    cards = "".join(_card(found, drift) for drift in found.inputs.values())
    yield f'<div class="cards">{cards}</div>'


def _card(found: Comparison, drift: InputDrift) -> str:
    cells = drift.cells
    shown = [*range(len(cells.names))]
    if len(shown) > _MOST_BARS:  # the most frequent values come first
        shown = [*shown[: _MOST_BARS - 2], *shown[-2:]]
    names = [cells.names[n] if cells.names[n][:1] != "#" else "…" for n in shown]
    series = []
    for name, weights in ((found.before, cells.before), (found.after, cells.after)):
        total = max(float(weights.sum()), 1e-300)
        series.append((name, [float(weights[n]) / total for n in shown]))
    note = f"gray {found.before}, blue {found.after}"
    if drift.distinct is not None:
        before, after = drift.distinct
        note += f"; {before:,} and {after:,} distinct values"
    return card(drift.name, note, bars(names, series))


def _over_time(comparisons: Sequence[Comparison]) -> Iterator[str]:
    names = [found.after for found in comparisons]
    kinds = {
        (figure.what, figure.measure)
        for found in comparisons
        for figure in found.differences
    }
    cards = []
    for what, measure in sorted(kinds):
        if measure not in ("rows", "label_rate", "missing", "new_values", "psi"):
            continue
        values = []
        for found in comparisons:
            figures = [
                d for d in found.differences if (d.what, d.measure) == (what, measure)
            ]
            values.append(figures[0].after if figures else 0.0)
        plot = curve(names, [(measure, values)], percent=measure not in ("rows", "psi"))
        if any(values):
            cards.append(card(what, measure, plot))
    yield f'<div class="cards">{"".join(cards)}</div>'
