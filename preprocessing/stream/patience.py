"""Waits for a broker that is away: not for ever, and not in silence."""

import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from configs.errors import DataError

__all__ = ["Patience", "is_passing"]

_SILENT_SECONDS = 5.0
"""A broker may be this slow before anything is said."""
_REPEATED_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
_CALL_SECONDS = 10.0

Answer = TypeVar("Answer")


class Patience:
    """Counts how long a broker has been away.

    Args:
        servers: of the broker, for messages.
        away: seconds after which waiting is given up.
    """

    def __init__(self, servers: str, away: float) -> None:
        self._servers, self._away = servers, away
        self._since: float | None = None
        self._said: float | None = None
        self.reason = ""
        """What the client said last."""
        self.listen: Callable[[], object] = lambda: None
        """Lets the client report its errors."""
        self._refused: str | None = None

    @property
    def call_seconds(self) -> float:
        """How long a single call of the client may take."""
        return min(_CALL_SECONDS, self._away)

    def note(self, error: Any) -> None:
        """Takes an error that the client reports; for its option `error_cb`."""
        self.reason = error.str()
        if error.name() in _REFUSED:
            self._refused = self.reason

    def check(self) -> None:
        """Checks that the broker has not refused what no waiting would change.

        Raises:
            DataError: if it has.
        """
        if self._refused is not None:
            raise DataError(
                f"Kafka at {self._servers} refuses: {self._refused}. Check"
                " stream.kafka.options (security.protocol, sasl.*), and what this user"
                " may do there"
            )

    def answered(self) -> None:
        """Says that the broker is there."""
        if self._said is not None and self._since is not None:
            gone = time.monotonic() - self._since
            print(
                f"Kafka at {self._servers} is back after {gone:.0f} s", file=sys.stderr
            )
        self._since = self._said = None
        self.reason = ""

    def waited(self, since: float | None = None) -> None:
        """Says that the broker has not answered.

        Args:
            since: when it was asked, by `time.monotonic`; now unless given.

        Raises:
            DataError: if it has been away for too long.
        """
        self.check()
        now = time.monotonic()
        if self._since is None:
            self._since = now if since is None else since
        gone = now - self._since
        reason = f" ({self.reason})" if self.reason else ""
        if gone > self._away:
            raise DataError(
                f"Kafka at {self._servers} has been away for {gone:.0f} s{reason}:"
                " start it again, and then this command, which goes on where it ended"
                " (stream.join.away says how long it waits)"
            )
        last = self._said
        if gone > _SILENT_SECONDS and (last is None or now - last > _REPEATED_SECONDS):
            self._said = now
            print(
                f"waiting for Kafka at {self._servers}, away for {gone:.0f} s{reason};"
                f" giving up after {self._away:.0f} s",
                file=sys.stderr,
            )

    def pause(self, *, last: bool) -> None:
        """Waits a little before something is asked again that was answered strangely,
        unless it is not asked again."""
        if not last:
            time.sleep(_PAUSE_SECONDS)

    def ask(self, call: Callable[[], Answer], error_type: type[Exception]) -> Answer:
        """Returns what a call returns; calls again while the broker is away.

        Args:
            call: of the client, with a time limit of its own.
            error_type: that the client raises, with an error that can tell whether to
                try again.

        Raises:
            DataError: if the broker stays away.
        """
        while True:
            asked = time.monotonic()
            try:
                answer = call()
            except error_type as failed:
                error = failed.args[0]
                self.listen()
                self.check()
                given_up = error.fatal() or error.txn_requires_abort()
                if given_up or not is_passing(error):
                    raise
                self.reason = error.str()
                self.waited(asked)
                time.sleep(_PAUSE_SECONDS)
            else:
                self.answered()
                return answer


_REFUSED = (
    "_AUTHENTICATION",
    "SASL_AUTHENTICATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "TOPIC_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
)

_PASSING = (
    "_TRANSPORT",
    "_TIMED_OUT",
    "_ALL_BROKERS_DOWN",
    "_RESOLVE",
    "_WAIT_COORD",
    "_TIMED_OUT_QUEUE",
    "_MSG_TIMED_OUT",
    "_DESTROY_BROKER",
    "BROKER_NOT_AVAILABLE",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "KAFKA_STORAGE_ERROR",
    "LEADER_NOT_AVAILABLE",
    "NETWORK_EXCEPTION",
    "NOT_COORDINATOR",
    "NOT_LEADER_FOR_PARTITION",
    "OFFSET_NOT_AVAILABLE",
    "REQUEST_TIMED_OUT",
    "UNSTABLE_OFFSET_COMMIT",
)


def is_passing(error: Any) -> bool:
    """Returns whether an error of the client may be gone when the broker is back."""
    return bool(error.retriable()) or error.name() in _PASSING
