"""How far an example set may differ from the one before."""

from pydantic import NonNegativeFloat

from configs.section import Section

__all__ = ["Drift", "DriftLimits"]


class DriftLimits(Section):
    """Largest differences between two example sets. A limit left out is not checked."""

    rows: NonNegativeFloat | None = None
    """Of the number of impressions read, relative: 0.5 is half more, or half less."""
    label_rate: NonNegativeFloat | None = None
    """Of a label's rate, relative; two standard errors are taken off."""
    dead: NonNegativeFloat | None = None
    """Of the share of a log's records that are dead letters, absolute."""
    missing: NonNegativeFloat | None = None
    """Of the share of rows without a value of an input, absolute."""
    new_values: NonNegativeFloat | None = None
    """Share of a categorical input's values that the set before did not have."""
    psi: NonNegativeFloat | None = None
    """Population stability index of an input's values, less what chance alone gives."""
    jensen_shannon: NonNegativeFloat | None = None
    """Jensen-Shannon divergence of an input's values, in bits: 0 to 1."""


class Drift(Section):
    """What `python -m preprocessing compare` says of this job's example sets."""

    warn: DriftLimits = DriftLimits(
        rows=0.5, label_rate=0.2, dead=0.005, missing=0.05, psi=0.2
    )
    """Differences beyond these are marked."""
    fail: DriftLimits = DriftLimits()
    """Differences beyond these make the command exit with 3."""
    ignore: list[str] = []
    """Inputs whose differences are shown, and never marked (ids, say)."""
