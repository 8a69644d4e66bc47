"""Keeps messages that could not be trained on, and ends training if they are many."""

import base64
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import TrainingError
from configs.preprocess import DeadLetters

__all__ = ["DeadMessage", "DeadMessages"]

_ENOUGH = 1_000
"""Messages after which a share says something."""

_ENOUGH_DEAD = 100
"""The same, where not one of them is good."""

_FORGOTTEN_AFTER = 100_000
"""Messages after which old ones begin to count less: a stream that was good for a year
must not hide that it is bad today."""

_LONGEST_KEPT = 64 * 1024
"""Bytes of a message that are kept."""


@dataclass(frozen=True, kw_only=True)
class DeadMessage:
    """A message that is no example of the job.

    Attributes:
        topic: of the message.
        partition: of the message.
        offset: in its partition; -1 where the engine does not tell it.
        reason: by which it is counted.
        detail: in words.
        time: its timestamp in milliseconds.
        value: its bytes, if it has any.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    time: int
    value: bytes | None


class DeadMessages:
    """The file of dead messages: one JSON object a line, the value in base64.

    A message that is met again after a crash is not written again.

    Args:
        path: of the file; made with the first message.
        limits: how many are kept, and how many are too many.
    """

    def __init__(self, path: Path, limits: DeadLetters) -> None:
        self._path = path
        self._limits = limits
        self._kept: Counter[str] = Counter()
        self._known: set[tuple[str, int, int]] = set()
        self._read_back()
        self._seen = 0.0
        self._dead: Counter[str] = Counter()
        self._last = ""

    def put(self, messages: list[DeadMessage]) -> None:
        """Keeps messages."""
        lines = []
        for message in messages:
            self._dead[message.reason] += 1
            self._last = f"{message.topic} {message.partition}:{message.offset} is"
            self._last += f" {message.reason} ({message.detail})"
            place = (message.topic, message.partition, message.offset)
            if (
                place not in self._known
                and self._kept[message.reason] < self._limits.max_kept
            ):
                if message.offset >= 0:
                    self._known.add(place)
                self._kept[message.reason] += 1
                lines.append(json.dumps(_record(message)) + "\n")
        if lines:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(lines))

    def check_share(self, seen: int) -> None:
        """Notes that `seen` more messages came, dead ones among them.

        Raises:
            TrainingError: if too many of them are dead.
        """
        self._seen += seen
        dead = sum(self._dead.values())
        enough = _ENOUGH_DEAD if dead == self._seen else _ENOUGH
        if self._seen >= enough and dead > self._limits.max_share * self._seen:
            reasons = ", ".join(f"{n:,} {r}" for r, n in self._dead.most_common())
            raise TrainingError(
                f"{dead:,} of the last {int(self._seen):,} messages are no examples of"
                f" this job ({reasons}), more than the share of"
                f" {self._limits.max_share:g} that stream.train.dead_letters.max_share"
                f" allows. {self._last}. They are in {self._path}. Mend what writes the"
                " topic; to go on past them set a larger share"
            )
        if self._seen > _FORGOTTEN_AFTER:
            self._seen /= 2
            self._dead = Counter({r: n // 2 for r, n in self._dead.items()})

    def _read_back(self) -> None:
        if not self._path.exists():
            return
        whole = self._path.read_bytes()
        # What a killed process left of a line is met again, and written whole.
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            with self._path.open("r+b") as file:
                file.truncate(end)
        for line in whole[:end].splitlines():
            record: dict[str, Any] = json.loads(line)
            self._kept[record["reason"]] += 1
            if record["offset"] >= 0:
                place = (record["topic"], record["partition"], record["offset"])
                self._known.add(place)


def _record(message: DeadMessage) -> dict[str, Any]:
    value = message.value or b""
    return {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "time": message.time,
        "reason": message.reason,
        "detail": message.detail,
        "bytes": len(value),
        "value": base64.b64encode(value[:_LONGEST_KEPT]).decode("ascii"),
    }
