"""Heterogeneous experts over several sets of embeddings."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from configs.backbones import (
    BackboneSection,
    CrossNetworkV2,
    DeepInterest,
    DeepNetwork,
    InnerProductNetwork,
    Parts,
    Rate,
    TemporalInterest,
    Widths,
)
from configs.section import Section

__all__ = ["EmbeddingSet", "Expert", "GroupWeightedExpert", "HeterogeneousExperts"]


class GroupWeightedExpert(Section):
    """The pairs of `gwpfm`: their elementwise products, weighted and summed, through
    an MLP if `hidden` is given."""

    name: Literal["gwpfm"]
    parts: Parts | None = None
    """As of the backbone `gwpfm`; embeddings hold a vector for each part."""
    hidden: list[PositiveInt] = []
    dropout: Rate = 0.0


Expert = Annotated[
    GroupWeightedExpert
    | InnerProductNetwork
    | CrossNetworkV2
    | DeepNetwork
    | DeepInterest
    | TemporalInterest,
    Field(discriminator="name"),
]


class EmbeddingSet(Section):
    """An embedding of each value of each feature, and the experts that take them."""

    dim: PositiveInt | None = None
    """Width of all embeddings of the set. The first set takes none: it holds the
    features' own embeddings (`model.embedding_dim`, or the features' `dim`)."""
    experts: Annotated[list[Expert], Field(min_length=1)]
    """An expert may be named several times, and in several sets."""


class HeterogeneousExperts(BackboneSection):
    """Heterogeneous experts with multi-embedding (Pan et al. 2024): several tables for
    each feature, each set of them with interaction experts of its own, and one tower
    over what all experts give."""

    name: Literal["experts"]
    sets: Annotated[list[EmbeddingSet], Field(min_length=1)]
    hidden: Widths = [128]
    """Widths of the tower."""
    dropout: Rate = 0.0
    """Of the tower."""

    @property
    def further_sets(self) -> list[int]:
        """The widths of all sets but the first."""
        return [chosen.dim for chosen in self.sets[1:] if chosen.dim is not None]

    @model_validator(mode="after")
    def _widths_are_clear(self) -> "HeterogeneousExperts":
        if self.sets[0].dim is not None:
            raise ValueError(
                "the first set holds the features' own embeddings: leave out its 'dim',"
                f" and set 'model.embedding_dim: {self.sets[0].dim}'"
            )
        for number, chosen in enumerate(self.sets[1:], start=1):
            if chosen.dim is None:
                raise ValueError(f"sets.{number} has no 'dim', the width of its tables")
        return self
