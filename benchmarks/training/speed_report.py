"""Writes the tables of the measured speed."""

from collections.abc import Sequence

from benchmarks.training import shape
from benchmarks.training.roofline import LIBRARIES
from benchmarks.training.speed import REFERENCE, Group
from benchmarks.training.spread import Spread, ratio, spread
from benchmarks.training.workers import SYSTEMS

__all__ = ["flatness_table", "roofline_table", "speed_tables", "versions"]

_LIBRARY_OF = {
    "ours16": "tensorflow16",
    "floor16": "tensorflow16",
    "keras16": "tensorflow16",
    "fuxictr": "torch",
}
"""Whose multiplication a system does, where it is not TensorFlow's in float32."""

_HEAD = (
    "| system | steps/s | CPU-ms per step | peak MiB | {ours} speed over this one's |"
    " this one's CPU-ms over {ours} |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def speed_tables(groups: Sequence[Group]) -> str:
    """Returns a table for each size: medians and 95% intervals of the turns."""
    parts = []
    for size, cached in dict.fromkeys((g.size, g.cached) for g in groups):
        members = [g for g in groups if (g.size, g.cached) == (size, cached)]
        title = f"### {size} rows" + (", the step alone" if cached else "")
        turns = len(members[0].results[REFERENCE].steps_per_second)
        note = f"{turns} turns each; {members[0].distinct:,.0f} distinct rows a batch."
        if len(members) > 1:
            note += " Measured in groups for want of memory, ours in each."
        lines = [_HEAD.format(ours="ours:")]
        for number, group in enumerate(members):
            names = [n for n in group.results if n != REFERENCE or number == 0]
            lines += [_row(group, name) for name in names]
        parts.append("\n\n".join((title, note, "\n".join(lines))))
    return "\n\n".join(parts)


def _row(group: Group, name: str) -> str:
    result, ours = group.results[name], group.results[REFERENCE]
    faster = ratio(ours.steps_per_second, result.steps_per_second)
    leaner = ratio(result.cpu_milliseconds, ours.cpu_milliseconds)
    cells = [
        SYSTEMS[name].title,
        spread(result.steps_per_second).text(2),
        spread(result.cpu_milliseconds).text(0),
        f"{result.mebibytes:,.0f}",
        "1" if name == REFERENCE else faster.text(2),
        "1" if name == REFERENCE else leaner.text(2),
    ]
    return f"| {' | '.join(cells)} |"


def flatness_table(groups: Sequence[Group]) -> str:
    """Returns CPU-ms per step by size, and the largest size over the smallest.

    Sizes are not interleaved with each other, so the ratio is of two medians.
    """
    sizes = list(dict.fromkeys(g.size for g in groups if not g.cached))
    found: dict[str, dict[str, Spread]] = {}
    for group in (g for g in groups if not g.cached):
        for name, result in group.results.items():
            value = spread(result.cpu_milliseconds)
            found.setdefault(name, {}).setdefault(group.size, value)
    last = f"{sizes[-1]} over {sizes[0]}"
    lines = [f"| CPU-ms per step | {' | '.join(sizes)} | {last} |"]
    lines.append("| --- " * (len(sizes) + 2) + "|")
    for name, by_size in found.items():
        cells = [by_size[s].text(0) if s in by_size else "-" for s in sizes]
        both = sizes[0] in by_size and sizes[-1] in by_size
        share = by_size[sizes[-1]].middle / by_size[sizes[0]].middle if both else None
        cells.append("-" if share is None else f"{share:.2f}")
        lines.append(f"| {SYSTEMS[name].title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def roofline_table(groups: Sequence[Group], rates: dict[str, Spread]) -> str:
    """Returns the rates of multiplication, and the share of them that steps reach."""
    lines = [
        "| multiplication of [4096, 429] by [429, 429] | GFLOP/s |",
        "| --- | --- |",
    ]
    for name, rate in rates.items():
        lines.append(f"| {LIBRARIES[name].title} | {rate.text(0)} |")
    operations = shape.flops_per_step() / 1e9
    lines += [
        "",
        f"The multiplications of a step are {operations:.1f} GFLOP (by formula,"
        " `shape.flops_per_step`). The limit is how many steps of nothing else fit into"
        " a second.",
        "",
        "| system | rows | limit, steps/s | reached, steps/s | share of the limit |",
        "| --- | --- | --- | --- | --- |",
    ]
    seen = set()
    for group in groups:
        for name, result in group.results.items():
            if (name, group.size, group.cached) in seen:
                continue
            seen.add((name, group.size, group.cached))
            limit = rates[_LIBRARY_OF.get(name, "tensorflow")].middle / operations
            reached = spread(result.steps_per_second).middle
            title = SYSTEMS[name].title + (", step alone" if group.cached else "")
            lines.append(
                f"| {title} | {group.size} | {limit:.1f} | {reached:.1f} |"
                f" {reached / limit:.0%} |"
            )
    return "\n".join(lines)


def versions(groups: Sequence[Group]) -> str:
    """Returns the versions of all systems' libraries, a line each."""
    found = {
        SYSTEMS[name].title.partition(",")[0]: result.versions
        for group in groups
        for name, result in group.results.items()
    }
    return "\n".join(
        f"- {title}: " + ", ".join(f"{n} {v}" for n, v in libraries.items())
        for title, libraries in found.items()
        if not title.startswith("forward")
    )
