"""Records that could not be used: kept, counted, and too many of them fail the job."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from configs.errors import DataError
from preprocessing.scratch import Scratch, write_atomically

__all__ = ["check_share", "collect_letters", "dead_name", "keep_letters"]

_FOLDER = "letters"

_HINTS = {
    "future_time": "later than the clock by more than preprocessing.future. Check the"
    " unit of the time column, and its time zone"
}
"""What a reason says by its name alone too shortly."""


def dead_name(log: str, reason: str) -> str:
    """Returns the name of a reason in the manifest, and of its file."""
    return f"{log}.{reason}"


def keep_letters(
    scratch: Scratch,
    source: str,
    letters: dict[str, list[dict[str, Any]]],
    max_kept: int,
) -> None:
    """Keeps dead records of one block or bucket.

    Of each reason the first `max_kept` in the order of their text are kept, which is
    the same choice however the logs are cut into blocks.

    Args:
        scratch: of the run.
        source: name of the block or bucket.
        letters: by `dead_name`.
        max_kept: of each reason.
    """
    for name, records in letters.items():
        lines = sorted(json.dumps(record, ensure_ascii=False) for record in records)
        path = scratch.folder(f"{_FOLDER}/{name}") / f"{source}.jsonl"
        write_atomically(path, _joined(lines[:max_kept]))


def collect_letters(scratch: Scratch, target: Path, max_kept: int) -> None:
    """Writes one file for each reason into the folder `target`."""
    for folder in sorted(scratch.folder(_FOLDER).iterdir()):
        lines: list[str] = []
        for path in folder.glob("*.jsonl"):
            lines += path.read_text(encoding="utf-8").split("\n")[:-1]
        target.mkdir(parents=True, exist_ok=True)
        write_atomically(
            target / f"{folder.name}.jsonl", _joined(sorted(lines)[:max_kept])
        )


def check_share(
    logs: Sequence[str],
    counters: Counter[str],
    dead: Counter[str],
    max_share: float,
    kept_in: Path,
) -> None:
    """Checks that not too many records of any log are dead.

    Args:
        logs: names of the logs.
        counters: with `<log>.read`, and `<log>.carried_in` of a daily run.
        dead: by `dead_name`.
        max_share: of a log's records.
        kept_in: folder where the letters can be looked at.

    Raises:
        DataError: if there are, with the reasons and an example of each.
    """
    for log in logs:
        read = counters[f"{log}.read"] + counters[f"{log}.carried_in"]
        own = {name: n for name, n in dead.items() if name.rpartition(".")[0] == log}
        total = sum(own.values())
        if read and total > max_share * read:
            raise DataError(
                f"{total:,} of {read:,} records ({total / read:.2%}) of {log} could not"
                f" be used, expected at most {max_share:.2%}"
                f" (preprocessing.dead_letters.max_share):\n{_examples(own, kept_in)}\n"
                f"All are in {kept_in}. Mend the logs or the job file's description of"
                " them, or raise max_share if these records may be left out"
            )


def _examples(own: dict[str, int], kept_in: Path) -> str:
    lines = []
    for name, count in sorted(own.items(), key=lambda item: -item[1]):
        path = kept_in / f"{name}.jsonl"
        reason = name.rpartition(".")[2]
        hint = f" ({_HINTS[reason]})" if reason in _HINTS else ""
        lines.append(f"  {reason}: {count:,}{hint}")
        if path.exists():
            with open(path, encoding="utf-8") as file:
                lines.append(f"    such as {file.readline().strip()[:300]}")
    return "\n".join(lines)


def _joined(lines: Iterable[str]) -> bytes:
    # Half surrogates and the like cannot be here: records are decoded text.
    return "".join(f"{line}\n" for line in lines).encode()
