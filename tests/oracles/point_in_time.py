"""Point-in-time histories, one impression and one event after the other."""

import hashlib
from typing import Any

import tensorflow as tf

Record = dict[str, Any]
Behaviour = tuple[int, int, Record]
"""Time, tie and values."""

_BITS = 2**64 - 1


def fingerprint(text: object) -> int:
    """FarmHash Fingerprint64 modulo 2**63 - 1."""
    return int(tf.strings.to_hash_bucket_fast([str(text)], 2**63 - 1)[0])


def tie(event: object) -> int:
    """SplitMix64 of an id's fingerprint: the order inside one millisecond."""
    salt = int.from_bytes(hashlib.sha256(b"content:0").digest()[:8], "little")
    z = ((fingerprint(event) ^ salt) + 0x9E3779B97F4A7C15) & _BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _BITS
    return z ^ (z >> 31)


def first_of_each(records: list[Record], name: str, key: str) -> dict[str, Record]:
    """The earliest record of each id, ties by what it answers."""
    kept: dict[str, Record] = {}
    for record in records:
        other = kept.get(record[name])
        if other is None or (record["time"], str(record.get(key))) < (
            other["time"],
            str(other.get(key)),
        ):
            kept[record[name]] = record
    return kept


def behaviours(
    impressions: list[Record], clicks: list[Record], conversions: list[Record]
) -> dict[str, dict[int, list[Behaviour]]]:
    """The behaviours of each user, by log: clicks and conversions that answer a known
    impression; a conversion names a click."""
    shown = first_of_each(impressions, "impression", "item")
    clicked = first_of_each(clicks, "click", "impression")
    bought = first_of_each(conversions, "conversion", "click")
    found: dict[str, dict[int, list[Behaviour]]] = {"click": {}, "conversion": {}}
    for name, event in clicked.items():
        if event["impression"] in shown:
            row = shown[event["impression"]]
            values = {"item": row["item"], "device": row["device"], **event}
            users = found["click"].setdefault(row["user"], [])
            users.append((event["time"], tie(name), values))
    for name, event in bought.items():
        click = clicked.get(event["click"])
        if click is not None and click["impression"] in shown:
            row = shown[click["impression"]]
            values = {"item": row["item"], "device": row["device"], **event}
            users = found["conversion"].setdefault(row["user"], [])
            users.append((event["time"], tie(name), values))
    return found


def history(
    of_user: list[Behaviour], time: int, gap: int, max_length: int
) -> list[Behaviour]:
    """The last behaviours before `time - gap`, oldest first."""
    before = [behaviour for behaviour in of_user if behaviour[0] < time - gap]
    return sorted(before, key=lambda b: b[:2])[-max_length:]
