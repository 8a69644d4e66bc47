"""The auxiliary tasks: further losses, that take part in training only."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from configs.section import Section

__all__ = [
    "DMR",
    "NIP",
    "UIM",
    "Auxiliary",
    "CL4CTRAlignment",
    "CL4CTRContrastive",
    "CL4CTRUniformity",
    "DeepMCPCorrelation",
    "DeepMCPMatching",
]

Widths = Annotated[list[PositiveInt], Field(min_length=1)]


class UIM(Section):
    """User-item match: a contrastive task between user and clicked item (AT4CTR)."""

    name: Literal["uim"]
    weight: PositiveFloat = 0.1
    temperature: PositiveFloat = 0.07
    task: str = "click"
    """The label whose positives are matched."""
    projection: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] = [
        64,
        32,
    ]
    mask_duplicates: bool = True
    """Leave out negatives that are the same item (or user) as the positive."""


class NIP(Section):
    """Next-item prediction inside the behaviour sequence (AT4CTR)."""

    name: Literal["nip"]
    weight: PositiveFloat = 0.05
    temperature: PositiveFloat = 0.1
    sequence: str | None = None
    """The sequence feature; the only one unless given."""
    max_negatives: PositiveInt = 256
    """Histories of the batch that serve as negatives, at most, for each position."""
    mask_duplicates: bool = True


class DMR(Section):
    """The matching loss of Deep Match to Rank: all behaviours but the last one predict
    the last one, among sampled others."""

    name: Literal["dmr"]
    weight: PositiveFloat = 0.1
    sequence: str | None = None
    """The sequence feature; the only one unless given."""
    negatives: PositiveInt = 64
    """Last behaviours of the batch that are drawn in each step, for all its rows."""
    targets: Literal["own", "shared"] = "own"
    """What is predicted: a vector of a table of the task's own, for training only, as
    in the paper; or the embedding of the sequence's first field itself."""
    target_buckets: PositiveInt | None = None
    """Rows of that table; the buckets of the first field unless given."""
    position_dim: PositiveInt = 8
    """Width of the embedding of a behaviour's place, counted from the last one."""
    attention_width: PositiveInt = 32
    mask_duplicates: bool = True
    """Leave out negatives that are the same item as the last behaviour."""


class DeepMCPMatching(Section):
    """DeepMCP's matching subnet: whether user and item belong together, told from
    nothing but the inner product of a vector of each."""

    name: Literal["deepmcp_matching"]
    weight: PositiveFloat = 1.0
    task: str = "click"
    """The label that is predicted."""
    hidden: Widths = [128, 64]
    """Of the layers of either side; the last one is the width of the vectors."""


class DeepMCPCorrelation(Section):
    """DeepMCP's correlation subnet: skip-gram with negative sampling over behaviours
    that lie close to each other in a sequence."""

    name: Literal["deepmcp_correlation"]
    weight: PositiveFloat = 0.01
    sequence: str | None = None
    """The sequence feature; the only one unless given."""
    window: PositiveInt = 2
    """How many behaviours before and behind one belong to it, at most."""
    negatives: PositiveInt = 4
    """Behaviours of the batch that are drawn for each pair."""
    hidden: Widths = [128, 64]
    mask_duplicates: bool = True
    """Leave out negatives that are the same item as one of the pair."""


class CL4CTRContrastive(Section):
    """CL4CTR's contrastive loss: two randomly masked views of the features of a row
    should have one representation."""

    name: Literal["cl4ctr_contrastive"]
    weight: PositiveFloat = 1.0
    mask: Literal["random", "feature", "dimension"] = "random"
    """What is masked: single numbers; whole features; or numbers at the same place of
    all features."""
    rate: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Share that is masked."""
    layers: PositiveInt = 3
    """Of the transformer encoder over the features."""
    feed_forward: PositiveInt = 128


class CL4CTRAlignment(Section):
    """CL4CTR's feature alignment: embeddings of one field should be close."""

    name: Literal["cl4ctr_alignment"]
    weight: PositiveFloat = 0.01


class CL4CTRUniformity(Section):
    """CL4CTR's field uniformity: embeddings of different fields should differ."""

    name: Literal["cl4ctr_uniformity"]
    weight: PositiveFloat = 0.01


Auxiliary = Annotated[
    UIM
    | NIP
    | DMR
    | DeepMCPMatching
    | DeepMCPCorrelation
    | CL4CTRContrastive
    | CL4CTRAlignment
    | CL4CTRUniformity,
    Field(discriminator="name"),
]
