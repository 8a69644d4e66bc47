"""Names for the inputs of a graph that TensorFlow is to trace.

TensorFlow makes Python parameters of the names of a signature's inputs, and so refuses
names with spaces, dots or umlauts, words of Python's, and names that differ in such
characters alone. A SavedModel itself takes any text. So where a log's column is not
called by a plain word, the graph is traced with stand-ins.
"""

import keyword
import re
from collections.abc import Sequence

__all__ = ["standins"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def standins(names: Sequence[str]) -> list[str | None]:
    """Returns the stand-in for each name, None where all can stand for themselves."""
    if all(_is_plain(name) for name in names):
        return [None for _ in names]
    return [f"column_{place}" for place in range(len(names))]


def _is_plain(name: str) -> bool:
    # Functions called from Python have a first parameter `self`.
    return (
        _PLAIN.fullmatch(name) is not None
        and not keyword.iskeyword(name)
        and name != "self"
    )
