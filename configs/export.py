"""How a trained model is exported."""

from typing import Annotated

from pydantic import Field, PositiveFloat

from configs.section import Section

__all__ = ["Export"]


class Export(Section):
    """The SavedModel, and what proves it before it is published."""

    tolerance: PositiveFloat = 1e-6
    """Largest difference of probabilities that counts as equal."""
    warmup_rows: Annotated[int, Field(ge=0, le=1_000)] = 100
    """Requests stored for TF Serving to warm up with."""
