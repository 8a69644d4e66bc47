"""The canonical text of a categorical value: the one form in which it is hashed.

JSON 7, CSV "7" and Parquet 7 are the same int64 value and must get the same
fingerprint; so must JSON 7 and "7" of a string feature. The vectorised twin for Arrow
columns is `preprocessing.encoding`; this one serves single request values.
"""

import re
from typing import Literal

__all__ = ["INT64_MAX", "INT64_MIN", "MISSING", "CategoricalType", "canonical_text"]

CategoricalType = Literal["string", "int64"]
"""How a categorical value is declared."""

MISSING = ""
"""The canonical text of a missing value."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_INTEGER = re.compile(r"[+-]?[0-9]+")


def canonical_text(value: object, declared: CategoricalType) -> str:
    """Returns the canonical text of one value.

    Integers become decimals without leading zeros or plus sign, text stays exactly as
    it is, `None` becomes the empty string. For an int64 feature the empty string is
    missing too, and a float that is a whole number counts as that integer.

    Raises:
        ValueError: if the value is not of the declared type.
    """
    if value is None:
        return MISSING
    if isinstance(value, str):
        if not _is_unicode(value):
            raise ValueError(f"expected valid Unicode text, got {value!r}")
        if declared == "string" or value == MISSING:
            return value
        if _INTEGER.fullmatch(value):
            return _decimal(int(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        return _decimal(value)
    elif isinstance(value, float) and value.is_integer() and declared == "int64":
        return _decimal(int(value))
    wanted = "an integer" if declared == "int64" else "text or an integer"
    raise ValueError(f"expected {wanted}, got {type(value).__name__} {value!r}")


def _is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8; JSON can smuggle in surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decimal(value: int) -> str:
    if not INT64_MIN <= value <= INT64_MAX:
        raise ValueError(f"expected an integer that fits 64 bits, got {value}")
    return str(value)
