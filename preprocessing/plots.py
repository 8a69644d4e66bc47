"""Plots as SVG text, for the HTML pages of plans and comparisons."""

from collections.abc import Sequence
from html import escape

__all__ = ["Bars", "bars", "curve"]

_WIDTH, _HEIGHT = 450, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 48, 12, 46
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_GRAY, _BLUE, _RED = "#b8c0c8", "#2f6fab", "#c4451c"
_MOST_TICKS = 8

Bars = tuple[str, Sequence[float]]
"""What a series of bars is called, and their heights."""


def bars(
    labels: Sequence[str],
    series: Sequence[Bars],
    dots: Bars | None = None,
    *,
    percent: bool = True,
) -> str:
    """Draws one or two series of bars side by side, and dots with an axis of their own.

    Args:
        labels: under the bars, [n].
        series: heights [n] each.
        dots: heights [n] on the axis at the right, or None.
        percent: whether the bars are shares.
    """
    count = max(len(labels), 1)
    step = _PLOT_WIDTH / count
    highest = max((v for _, values in series for v in values), default=0.0) or 1.0
    parts = [_axis(highest, left=True, percent=percent)]
    width = step * 0.8 / len(series)
    for place, (name, values) in enumerate(series):
        color = (_GRAY, _BLUE)[place] if len(series) > 1 else _GRAY
        for number, value in enumerate(values):
            height = _PLOT_HEIGHT * value / highest
            x = _LEFT + step * number + step * 0.1 + width * place
            title = f"{labels[number]}: {_number(value, percent)} ({name})"
            parts.append(
                f'<rect x="{x:.1f}" y="{_TOP + _PLOT_HEIGHT - height:.1f}"'
                f' width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{color}">'
                f"<title>{escape(title)}</title></rect>"
            )
    if dots is not None:
        parts += _dots(labels, dots, step)
    parts += _labels(labels, step)
    return _svg(parts)


def curve(
    labels: Sequence[str],
    series: Sequence[Bars],
    *,
    marked: int | None = None,
    highest: float | None = None,
    percent: bool = True,
) -> str:
    """Draws lines over evenly spaced places.

    Args:
        labels: of the places, [n].
        series: heights [n] each.
        marked: a place to mark by a vertical line, or None.
        highest: end of the axis; the highest value unless given.
        percent: whether the heights are shares.
    """
    step = _PLOT_WIDTH / max(len(labels), 1)
    values = [value for _, heights in series for value in heights]
    top = highest or max(values, default=0.0) or 1.0
    parts = [_axis(top, left=True, percent=percent)]
    if marked is not None:
        x = _LEFT + step * (marked + 0.5)
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_TOP + _PLOT_HEIGHT}"'
            f' stroke="{_RED}" stroke-dasharray="4 3"/>'
        )
    for color, (name, heights) in zip((_BLUE, _RED, "#5b8c2a"), series, strict=False):
        points = [
            (_LEFT + step * (n + 0.5), _TOP + _PLOT_HEIGHT * (1 - value / top), value)
            for n, value in enumerate(heights)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
        )
        for number, (x, y, value) in enumerate(points):
            title = escape(f"{labels[number]}: {_number(value, percent)} ({name})")
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}">'
                f"<title>{title}</title></circle>"
            )
    parts += _labels(labels, step)
    return _svg(parts)


def _dots(labels: Sequence[str], dots: Bars, step: float) -> list[str]:
    name, values = dots
    highest = max(values, default=0.0) or 1.0
    parts = [_axis(highest, left=False, percent=True)]
    for number, value in enumerate(values):
        x = _LEFT + step * (number + 0.5)
        y = _TOP + _PLOT_HEIGHT * (1 - value / highest)
        title = escape(f"{labels[number]}: {_number(value, True)} ({name})")
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_RED}">'
            f"<title>{title}</title></circle>"
        )
    return parts


def _axis(highest: float, *, left: bool, percent: bool) -> str:
    x = _LEFT if left else _LEFT + _PLOT_WIDTH
    anchor, shift = ("end", -4) if left else ("start", 4)
    color = "#444" if left else _RED
    lines = [
        f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{_TOP + _PLOT_HEIGHT}"'
        f' stroke="{color}" stroke-width="0.7"/>'
    ]
    for share in (0.0, 0.5, 1.0):
        y = _TOP + _PLOT_HEIGHT * (1 - share) + 4
        lines.append(
            f'<text x="{x + shift}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">'
            f"{_number(highest * share, percent)}</text>"
        )
    return "".join(lines)


def _labels(labels: Sequence[str], step: float) -> list[str]:
    every = -(-len(labels) // _MOST_TICKS) if labels else 1
    short = max(map(len, labels), default=0) <= 7
    parts = []
    for number in range(0, len(labels), every):
        x, y = _LEFT + step * (number + 0.5), _TOP + _PLOT_HEIGHT + 13
        text = labels[number]
        text = escape(text if len(text) <= 12 else f"{text[:11]}…")
        turn = "" if short else f' transform="rotate(20 {x:.1f} {y})"'
        anchor = "middle" if short else "start"
        parts.append(
            f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}"{turn}>{text}</text>'
        )
    base = _TOP + _PLOT_HEIGHT
    parts.append(
        f'<line x1="{_LEFT}" y1="{base}" x2="{_LEFT + _PLOT_WIDTH}" y2="{base}"'
        ' stroke="#444" stroke-width="0.7"/>'
    )
    return parts


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
        f' role="img">{"".join(parts)}</svg>'
    )


def _number(value: float, percent: bool) -> str:
    if percent:
        return f"{value * 100:.3g}%"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
