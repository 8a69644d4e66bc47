"""A metric that the rows do not determine."""

__all__ = ["Undefined"]


class Undefined(ArithmeticError):
    """Raised by a metric that has no value on its rows; the message says why."""
