"""Failed requests: TensorFlow Serving's status codes, and the body of the answer."""

from collections.abc import Sequence
from typing import Any

from serving.problems import Problem, listed

__all__ = ["Failure", "bad_values", "invalid", "not_found"]


class Failure(Exception):
    """A request that gets an error answer.

    Attributes:
        status: of HTTP. TensorFlow Serving maps INVALID_ARGUMENT, FAILED_PRECONDITION
            and OUT_OF_RANGE to 400, NOT_FOUND to 404, RESOURCE_EXHAUSTED to 429 and
            UNAVAILABLE to 503; a body that is too large gets 413.
        body: of the answer: `error` in words, and with bad values `problems`.
    """

    def __init__(self, status: int, message: str, **members: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"error": message, **members}


def invalid(message: str) -> Failure:
    """Returns INVALID_ARGUMENT."""
    return Failure(400, message)


def not_found(message: str) -> Failure:
    """Returns NOT_FOUND."""
    return Failure(404, message)


def bad_values(problems: Sequence[Problem]) -> Failure:
    """Returns INVALID_ARGUMENT with a list of what is wrong, feature by feature."""
    first = listed(problems)
    text = "; ".join(map(str, first))
    if len(problems) > len(first):
        text += f"; and {len(problems) - len(first)} more"
    return Failure(
        400,
        f"{len(problems)} problem(s) in the request: {text}",
        problems=[problem.as_json() for problem in first],
    )
