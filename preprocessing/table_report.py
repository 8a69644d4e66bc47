"""What side tables knew of the impressions, in words."""

from collections.abc import Iterator

from configs.manifest import Manifest
from preprocessing.side_tables import JOIN_COUNTERS

__all__ = ["table_lines", "table_warnings"]

_FEW = 0.5
"""Less of the impressions than this finding a row is worth a warning."""


def table_lines(manifest: Manifest) -> list[str]:
    """Returns the lines of the report on side tables; none if there are none."""
    lines = []
    for name, counts in _counts(manifest):
        total = max(sum(counts.values()), 1)
        lines.append(f"  impressions at the table {name}")
        lines += [
            f"    {what:<24}{count:>14,} ({count / total:.2%})"
            for what, count in counts.items()
            if count
        ]
    return lines


def table_warnings(manifest: Manifest) -> Iterator[str]:
    """Yields a sentence for each table that knew little."""
    for name, counts in _counts(manifest):
        total = sum(counts.values())
        if total and counts["found"] < _FEW * total:
            rest = ", ".join(
                f"{what} {count:,}"
                for what, count in counts.items()
                if count and what != "found"
            )
            yield (
                f"only {counts['found']:,} of {total:,} impressions found a row in"
                f" data.tables.{name} ({rest}): check its key, 'matches', and the times"
                " from which its rows hold"
            )


def _counts(manifest: Manifest) -> Iterator[tuple[str, dict[str, int]]]:
    """Yields what became of impressions, for each table."""
    prefix, suffix = "joins.", ".found"
    for counter in manifest.counters:
        if counter.startswith(prefix) and counter.endswith(suffix):
            name = counter.removeprefix(prefix).removesuffix(suffix)
            yield (
                name,
                {w: manifest.counters[f"joins.{name}.{w}"] for w in JOIN_COUNTERS},
            )
