"""The frame of an HTML page that is one file: no script, nothing from elsewhere."""

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["bullets", "card", "page", "table"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2em auto;
       max-width: 1000px; padding: 0 1em; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { padding: 2px 10px; border-bottom: 1px solid #e4e4e4; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.warn td { background: #fff4d6; } tr.fail td { background: #fde0d9; }
pre { background: #f6f7f8; padding: 1em; overflow-x: auto; font-size: 12.5px; }
svg text { font: 11px system-ui, sans-serif; }
.cards { display: flex; flex-wrap: wrap; }
.card { width: 460px; margin: 0 20px 18px 0; } .card p { margin: 0; color: #555; }
.card h3 { margin: 0.5em 0 0; font-size: 15px; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Returns a whole page.

    Args:
        title: as text.
        parts: as HTML.
    """
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{escape(title)}</h1>\n"
    )
    return head + "\n".join(parts) + "\n</body></html>\n"


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    classes: Sequence[str] | None = None,
) -> str:
    """Returns a table of texts; those that begin with a digit stand at the right.

    Args:
        header: names of the columns.
        rows: of cells.
        classes: of the rows (`warn`, `fail` or empty), or None.
    """
    lines = ["".join(f"<th>{escape(name)}</th>" for name in header)]
    kinds = [""]
    for number, row in enumerate(rows):
        cells = []
        for cell in row:
            kind = ' class="number"' if cell[:1].isdigit() or cell[:1] == "-" else ""
            cells.append(f"<td{kind}>{escape(cell)}</td>")
        lines.append("".join(cells))
        kinds.append(classes[number] if classes else "")
    body = "\n".join(
        f'<tr class="{kind}">{line}</tr>' if kind else f"<tr>{line}</tr>"
        for kind, line in zip(kinds, lines, strict=True)
    )
    return f"<table>\n{body}\n</table>"


def bullets(texts: Iterable[str]) -> str:
    """Returns a list of texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def card(title: str, note: str, plot: str) -> str:
    """Returns a plot with its title and a note; cards stand side by side."""
    return (
        f'<div class="card"><h3>{escape(title)}</h3><p>{escape(note)}</p>{plot}</div>'
    )
