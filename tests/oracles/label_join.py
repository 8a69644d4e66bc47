"""The rules of the label join, record by record, in plain Python."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]


@dataclass
class Outcome:
    """Labels of the impressions that are neither duplicates nor withheld, and what
    became of everything."""

    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def join(
    impressions: list[Record],
    clicks: list[Record],
    conversions: list[Record],
    click_window: int,
    conversion_window: int,
) -> Outcome:
    """Joins clicks (by impression) and conversions (by click, after click)."""
    outcome = Outcome()
    counts = outcome.counts
    last = max(r["time"] for r in [*impressions, *clicks, *conversions])
    shown = _earliest(impressions, "impression", counts, "impressions")
    clicked = _earliest(clicks, "click", counts, "click")
    bought = _earliest(conversions, "conversion", counts, "conversion")
    closed = {}
    for key, record in shown.items():
        if record["time"] + max(click_window, conversion_window) > last:
            counts["impressions.withheld"] += 1
        else:
            closed[key] = record
            outcome.labels[key] = {"click": 0, "conversion": 0}
            outcome.times[key] = record["time"]
    first_click: dict[str, int] = {}
    for click in clicked.values():
        key = click["impression"]
        if _counts(click, key, shown, closed, click_window, counts, "click"):
            counts["click.joined"] += 1
            outcome.labels[key]["click"] = 1
            first_click[key] = min(first_click.get(key, click["time"]), click["time"])
    for conversion in bought.values():
        if conversion["click"] not in clicked:
            counts["conversion.orphan"] += 1
            continue
        key = clicked[conversion["click"]]["impression"]
        window = conversion_window
        if _counts(conversion, key, shown, closed, window, counts, "conversion"):
            if key not in first_click or conversion["time"] < first_click[key]:
                counts["conversion.not_after"] += 1
            else:
                counts["conversion.joined"] += 1
                outcome.labels[key]["conversion"] = 1
    return outcome


def _earliest(
    records: list[Record], key: str, counts: Counter[str], name: str
) -> dict[str, Record]:
    kept: dict[str, Record] = {}
    for record in records:
        other = kept.get(record[key])
        if other is not None:
            counts[f"{name}.duplicates"] += 1
        if other is None or _order(record) < _order(other):
            kept[record[key]] = record
    return kept


def _order(record: Record) -> tuple[int, str]:
    answered = record.get("click", record.get("impression"))
    if "click" in record and "impression" in record:  # a click names its impression
        answered = record["impression"]
    return record["time"], str(answered)


def _counts(
    event: Record,
    key: str,
    shown: dict[str, Record],
    closed: dict[str, Record],
    window: int,
    counts: Counter[str],
    name: str,
) -> bool:
    if key not in shown:
        counts[f"{name}.orphan"] += 1
    elif key not in closed:
        counts[f"{name}.withheld"] += 1
    elif not 0 <= event["time"] - shown[key]["time"] <= window:
        counts[f"{name}.outside_window"] += 1
    else:
        return True
    return False
