"""What a checkpoint says of a stream: how far it was read, and what was found."""

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["SetMark", "StreamState", "Sums"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SetMark(_Record):
    """An example set that was trained on to its end.

    Attributes:
        name: of its folder inside `data.examples`; empty if that is the set itself.
        digest: of the files of its training split.
    """

    name: str
    digest: str


class Sums(_Record):
    """Sums over all rows of a stream, each scored before it was learned from; see
    `trainer.metrics.likelihood`.

    Attributes:
        rows: number of rows.
        weight: their weight.
        loss: weighted negative log-likelihood, in nats.
        observed: weighted labels.
        predicted: weighted predictions.
    """

    rows: int = 0
    weight: float = 0.0
    loss: float = 0.0
    observed: float = 0.0
    predicted: float = 0.0


class StreamState(_Record):
    """How far a stream was learned.

    Attributes:
        window: windows learned.
        rows: rows learned.
        position: of the source, behind the last row learned.
        last_time: latest event time among those rows, in ms; None before the first.
        progressive: sums by served output.
        metrics: of the last window, by served output.
        counters: of the source: rows lost or put aside, by reason.
    """

    window: int = 0
    rows: int = 0
    position: dict[str, Any] = {}
    last_time: int | None = None
    progressive: dict[str, Sums] = {}
    metrics: dict[str, Any] = {}
    counters: dict[str, int] = {}
