"""Makes lines of JSON of Kafka messages; what is no record says where it came from.

A line that is no JSON object becomes a dead letter of the join, with its text. So a
message that is none is written as a line that says its reason, topic, partition and
offset; it is counted like every other dead letter, and the same on every reading.
"""

import json
from collections.abc import Sequence

from configs.times import time_ms
from preprocessing.fields import Field
from preprocessing.normalize import REASON
from preprocessing.read_jsonl import read_json_lines
from preprocessing.reasons import reason_code

__all__ = ["MAX_MESSAGE_BYTES", "lines_of", "poison_line", "time_of"]

MAX_MESSAGE_BYTES = 4 << 20
"""A larger message is no record of a log, and its neighbors are not to wait for it."""
_KEPT_CHARACTERS = 1_000
_NO_RECORD = "no JSON object"


def lines_of(
    topic: str,
    partition: int,
    messages: Sequence[tuple[int, bytes | None]],
    time: Field,
) -> bytes:
    """Returns a line for each message, in order.

    Args:
        topic: of the messages.
        partition: of the messages.
        messages: offset and value of each.
        time: the time column of the log, which is read as a first test.
    """
    lines, whole = [], True
    for offset, value in messages:
        reason = _reason(value)
        if value is None or reason is not None:
            lines.append(poison_line(topic, partition, offset, reason or "", value))
            whole = False
        else:
            lines.append(_one_line(value))
    content = b"\n".join(lines) + b"\n" if lines else b""
    if whole and _is_parsed(content, len(lines), time):
        return content
    for number, (offset, value) in enumerate(messages):
        if value is not None and _reason(value) is None and not _is_object(value):
            line = poison_line(topic, partition, offset, _NO_RECORD, value)
            lines[number] = line
    return b"\n".join(lines) + b"\n"


def poison_line(
    topic: str, partition: int, offset: int, reason: str, value: bytes | None
) -> bytes:
    """Returns the line of a message that is no record."""
    text = (
        ""
        if value is None
        else f": {value[: 4 * _KEPT_CHARACTERS].decode(errors='replace')}"
    )
    text = "".join(c if c.isprintable() else " " for c in text[:_KEPT_CHARACTERS])
    return f"message {offset} of {topic}/{partition} ({reason}){text}".encode()


def time_of(value: bytes | None, time: Field) -> int | None:
    """Returns the time of the record in a message, ms; None if it has none.

    Args:
        value: of the message.
        time: the time column of the log.
    """
    if value is None or len(value) > MAX_MESSAGE_BYTES:
        return None
    try:
        record = json.loads(value.decode("utf-8-sig"))
        return time_ms(record[time.column], time.unit)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _reason(value: bytes | None) -> str | None:
    """Returns why a message cannot be a record, as far as its length tells."""
    if value is None:
        return "tombstone"
    if len(value) > MAX_MESSAGE_BYTES:
        return f"oversized, {len(value)} bytes"
    if not value.strip():
        return "empty"
    return None


def _one_line(value: bytes) -> bytes:
    value = value.removeprefix(b"\xef\xbb\xbf")
    # Between the values of JSON a line break is white space, inside none can be.
    if b"\n" in value or b"\r" in value:
        value = value.replace(b"\n", b" ").replace(b"\r", b" ")
    return value


def _is_parsed(content: bytes, lines: int, time: Field) -> bool:
    """Whether every line is a JSON object, in one quick reading."""
    if not content:
        return True
    table = read_json_lines(content, [time])
    reasons = table[REASON].to_numpy()
    return table.num_rows == lines and not (reasons == reason_code("unparsable")).any()


def _is_object(value: bytes) -> bool:
    try:
        return isinstance(json.loads(value.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False
