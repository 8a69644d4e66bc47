"""The report of comparisons as text."""

from collections.abc import Sequence

from preprocessing.comparison.compare import Comparison, Difference

__all__ = ["figure_text", "report"]

_SHARES = ("label_rate", "dead", "missing", "new_values")
_CHANGES = 4
_MARKS = {"": " ", "warn": "!", "fail": "X"}
_NAMES = {
    "rows": "rows",
    "count": "rows",
    "label_rate": "rate",
    "dead": "dead letters",
    "missing": "missing",
    "new_values": "new values",
    "mean": "mean",
    "psi": "PSI",
    "jensen_shannon": "JS bits",
}


def report(comparisons: Sequence[Comparison]) -> str:
    """Returns a table for each comparison: first what all rows have in common, then a
    line for each input; `!` marks what is beyond a limit that warns, `X` one that
    fails."""
    lines: list[str] = []
    for found in comparisons:
        lines.append(f"{found.after} against {found.before}")
        whole = [d for d in found.differences if _is_of_whole(d)]
        for figure in whole:
            lines.append(
                f"  {_MARKS[figure.level]} {figure.what:<28}"
                f"{figure_text(figure, figure.before):>14}"
                f"{figure_text(figure, figure.after):>14}"
                f"{_change(figure):>10}"
            )
        lines += _inputs(found)
        lines += [f"  note: {note}" for note in dict.fromkeys(found.notes)]
        lines += _beyond(found)
        lines.append("")
    return "\n".join(lines[:-1])


def figure_text(figure: Difference, value: float | None) -> str:
    """Writes a figure as people read it."""
    if value is None:
        return ""
    if figure.measure in ("rows", "count"):
        return f"{value:,.0f}"
    if figure.measure in _SHARES:
        return f"{value:.3%}"
    return f"{value:.4g}"


def _is_of_whole(figure: Difference) -> bool:
    return figure.measure in ("rows", "count", "label_rate", "dead")


def _change(figure: Difference) -> str:
    if figure.before is None:
        return ""
    if figure.measure == "dead":
        return f"{figure.after - figure.before:+.3%}"
    if figure.before == 0:
        return "new" if figure.after else ""
    return f"{figure.after / figure.before - 1.0:+.1%}"


def _inputs(found: Comparison) -> list[str]:
    columns = ("missing", "new_values", "psi", "jensen_shannon")
    header = "".join(f"{_NAMES[column]:>20}" for column in columns)
    lines = [f"    {'input':<28}{header}"]
    names = dict.fromkeys(
        d.what for d in found.differences if d.measure in (*columns, "mean")
    )
    for name in names:
        cells, level = [], ""
        for column in columns:
            figures = [
                d for d in found.differences if d.what == name and d.measure == column
            ]
            text = ""
            if figures:
                figure = figures[0]
                text = figure_text(figure, figure.after)
                if figure.before is not None:
                    text = f"{figure_text(figure, figure.before)} > {text}"
                text += _MARKS[figure.level].strip()
                level = max(level, figure.level, key=["", "warn", "fail"].index)
            cells.append(f"{text:>20}")
        lines.append(f"  {_MARKS[level]} {name:<28}{''.join(cells)}")
    return lines


def _beyond(found: Comparison) -> list[str]:
    lines = []
    for figure in found.differences:
        if figure.level:
            lines.append(
                f"  {figure.level.upper()} {figure.what}: {_NAMES[figure.measure]}"
                f" differs by {_size(figure)}, beyond {_limit(figure)}"
            )
            if figure.measure in ("psi", "jensen_shannon", "new_values"):
                changes = found.inputs[figure.what].cells.largest_changes(_CHANGES)
                shown = [f"{name} {a:.1%} > {b:.1%}" for name, a, b in changes]
                lines.append(f"       most of all: {', '.join(shown)}")
    return lines


def _size(figure: Difference) -> str:
    relative = figure.measure in ("rows", *_SHARES)
    return f"{figure.size:.3g}" if not relative else f"{figure.size:.2%}"


def _limit(figure: Difference) -> str:
    limit = figure.limit or 0.0
    return f"{limit:g} (preprocessing.drift.{figure.level}.{figure.measure})"
