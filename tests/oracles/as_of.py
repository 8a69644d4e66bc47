"""The row of a side table as of a time, row by row, in plain Python."""

from typing import Any

Record = dict[str, Any]


def look_up(rows: list[Record], key: Any, time: int) -> tuple[str, Record | None]:
    """Returns what becomes of an impression, and the row it sees.

    Args:
        rows: in the order in which they are read: `key`, `since`, perhaps `gone`.
        key: of the impression, None where missing.
        time: of the impression.
    """
    if key is None or key == "":
        return "without_key", None
    seen: Record | None = None
    known = False
    for row in rows:
        if str(row["key"]) != str(key):
            continue
        known = True
        if row["since"] <= time and (seen is None or row["since"] >= seen["since"]):
            seen = row
    if seen is None:
        return ("too_early" if known else "unknown_key"), None
    if seen.get("gone"):
        return "deleted", None
    return "found", seen
