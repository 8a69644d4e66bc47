"""The example sets of a stream: `data.examples/00000000`, `00000001`, ...

The streaming join publishes one for each batch of records, in order; the trainer, the
export and `trainer train` read the folder like one set, as they do a folder of days.
"""

import re
from pathlib import Path

from configs.manifest import MANIFEST_FILE

__all__ = ["number_of_set", "set_name", "stream_sets"]

_NAME = re.compile(r"[0-9]{8}")


def set_name(number: int) -> str:
    """Returns the name of the folder of a set."""
    return f"{number:08d}"


def number_of_set(name: str) -> int | None:
    """Returns the number of a set by the name of its folder, None if it is another."""
    return int(name) if _NAME.fullmatch(name) else None


def stream_sets(root: str | Path) -> dict[int, Path]:
    """Returns the folders of the complete sets in a local folder by number, in order.
    Old ones may have been removed."""
    found = {
        number: path.parent
        for path in Path(root).glob(f"*/{MANIFEST_FILE}")
        if (number := number_of_set(path.parent.name)) is not None
    }
    return dict(sorted(found.items()))
