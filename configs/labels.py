"""The labels of a job, and the attribution window of each."""

from pydantic import model_validator

from configs.durations import Duration
from configs.section import Section

__all__ = ["Label"]


class Label(Section):
    """A 0/1 outcome of an impression.

    It comes from an event log (`data.events`), and then is 1 if an event lies in
    0 <= t - t_impression <= window; or the impression log has it as a `column`.
    """

    window: Duration | None = None
    """Attribution window, counted from the impression."""
    after: str | None = None
    """A label that has to be 1 too (conversion after click); its events come first."""
    column: str | None = None
    """Column of the impression log that holds the label as 0/1 or true/false."""
    truth: str | None = None
    """Column with the true probability, where it is known (synthetic logs). It travels
    with the examples so that `evaluate` can score the truth beside the model. Beside a
    task with `given` or `entire_space` it is the probability given that other label."""

    @model_validator(mode="after")
    def _one_of_window_and_column(self) -> "Label":
        if (self.window is None) == (self.column is None):
            raise ValueError(
                "give either 'window' (the label is joined from an event log) or"
                " 'column' (the impressions have it), and not both"
            )
        return self
