"""Why a record can be dead."""

__all__ = ["ORPHAN", "REASONS", "reason_code"]

REASONS = (
    "ok",
    "unparsable",  # not a JSON object, or another number of columns than the header
    "invalid_id",  # an id is missing, or neither text nor integer
    "invalid_time",  # a time is missing, or not of the declared unit
    "invalid_label",  # a label is missing, or neither 0/1 nor true/false
    "wrong_type",  # a feature is not of the declared type
    "non_finite",  # a number is infinite (or too large for float32)
    "wrong_length",  # a dense vector has another length than declared
    "incomplete_vector",  # a dense vector misses some of its numbers
    "unaligned",  # the fields of a sequence, or values and weights, differ in length
    "negative",  # a weight is negative
    "future_time",  # a time is later than the clock, beyond what is allowed
)
"""Reasons that lie in a record itself; the position is the code of a reason."""

ORPHAN = "orphan"
"""Reason of an event that answers nothing in the logs."""


def reason_code(reason: str) -> int:
    """Returns the code of a reason."""
    return REASONS.index(reason)
