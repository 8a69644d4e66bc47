"""The table of counters that a run ends with."""

from configs.manifest import Manifest
from preprocessing.table_report import table_lines

__all__ = ["report"]


def report(manifest: Manifest) -> str:
    """Returns what happened to the records, as text."""
    lines = ["what happened to the records"]
    logs = sorted(
        {
            name.rpartition(".")[0]
            for name in manifest.counters
            if name.endswith(".read")
        },
        key=lambda log: (log != "impressions", log),
    )
    for log in logs:
        lines.append(f"  {log}")
        lines += [
            f"    {name.rpartition('.')[2]:<24}{count:>14,}"
            for name, count in _in_order(manifest.counters, log)
        ]
        lines += [
            f"    {'dead: ' + name.rpartition('.')[2]:<24}{count:>14,}"
            for name, count in manifest.dead_letters.items()
            if name.rpartition(".")[0] == log
        ]
    lines += table_lines(manifest)
    features = {
        name: n for name, n in manifest.counters.items() if name.startswith("features.")
    }
    if any(features.values()):
        lines.append("  values cut or left out")
        lines += [
            f"    {name.removeprefix('features.'):<24}{count:>14,}"
            for name, count in features.items()
            if count
        ]
    lines += ["examples", f"    {'split':<12}{'rows':>14}{'shards':>8}  positives"]
    for name, split in manifest.splits.items():
        shares = ", ".join(
            f"{label} {count:,} ({count / max(split.rows, 1):.2%})"
            for label, count in split.positives.items()
        )
        sampled = " (negatives sampled)" if split.sampled else ""
        lines.append(
            f"    {name:<12}{split.rows:>14,}{len(split.shards):>8}  {shares}{sampled}"
        )
    return "\n".join(lines)


_ORDER = (
    "read",
    "carried_in",
    "carried_out",
    "duplicates",
    "withheld",
    "outside_split",
    "dropped_by_sampling",
    "outside_window",
    "not_after",
    "too_late",
    "joined",
    "deletions",
    "kept",
)


def _in_order(counters: dict[str, int], log: str) -> list[tuple[str, int]]:
    return [
        (f"{log}.{name}", counters[f"{log}.{name}"])
        for name in _ORDER
        if f"{log}.{name}" in counters
    ]
