"""The backbones of a model: what lies between embedded features and heads."""

from typing import Annotated, ClassVar, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from configs.section import Section

__all__ = [
    "Backbone",
    "BackboneSection",
    "CrossNetworkV2",
    "DeepFM",
    "DeepInterest",
    "DeepInterestEvolution",
    "DeepNetwork",
    "FactorizationMachine",
    "FieldWeightedFM",
    "Flat",
    "GroupWeightedFM",
    "InnerProductNetwork",
    "LogisticRegression",
    "MaskNetwork",
    "Parts",
    "PathMatching",
    "Rate",
    "SelfAttention",
    "TemporalInterest",
    "WideAndDeep",
    "Widths",
]

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Widths = Annotated[list[PositiveInt], Field(min_length=1)]
Part = Annotated[list[str], Field(min_length=1)]
Parts = Annotated[list[Part], Field(min_length=1)]


class BackboneSection(Section):
    """What all backbones say of themselves.

    Attributes:
        name: of the backbone.
        gives_score: whether the backbone gives one number, a logit up to a bias, and no
            hidden vector: it then serves one task, with a single logit.
        first_order: whether it needs a weight for each value of each feature, beside
            the embeddings.
        equal_widths: whether all embeddings must have one width.
        reads_sequences: whether there must be a behaviour sequence.
    """

    gives_score: ClassVar[bool] = False
    first_order: ClassVar[bool] = False
    equal_widths: ClassVar[bool] = False
    reads_sequences: ClassVar[bool] = False

    name: str

    @property
    def further_sets(self) -> list[int]:
        """The widths of further sets of embeddings, beside those of the features."""
        return []


class LogisticRegression(BackboneSection):
    """A weight for each value of each feature: every embedding must have dim 1."""

    gives_score: ClassVar[bool] = True

    name: Literal["logistic_regression"]


class Flat(BackboneSection):
    """The embeddings as they are, for the experts of a `multi_task` section: without
    one, the model is linear in them."""

    name: Literal["flat"]


class CrossNetworkV2(BackboneSection):
    """DCN V2 (Wang et al. 2021): explicit crosses and an MLP.

    The matrix of a cross is full, or of low rank, or a mixture of such experts.
    """

    name: Literal["dcn_v2"]
    structure: Literal["parallel", "stacked"] = "parallel"
    cross_layers: PositiveInt = 3
    rank: PositiveInt | None = None
    """Of a cross's matrix, as a product of two; full unless given."""
    experts: PositiveInt = 1
    """More than 1: so many low-rank crosses, mixed by a gate."""
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0
    number_dim: PositiveInt | None = None
    """Each number becomes a vector of its own, of this width, times the number; unless
    given, numbers enter as they are."""

    @model_validator(mode="after")
    def _experts_have_a_rank(self) -> "CrossNetworkV2":
        if self.experts > 1 and self.rank is None:
            raise ValueError("experts are of low rank: give 'rank' (32, say)")
        return self


class DeepInterest(BackboneSection):
    """DIN (Zhou et al. 2018): target attention over the behaviour sequences.

    A sequence attends to the item through the fields that share a table with an item
    feature; an MLP takes the pooled interest and all other groups.
    """

    reads_sequences: ClassVar[bool] = True

    name: Literal["din"]
    attention_hidden: Widths = [64, 32]
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0


class DeepInterestEvolution(BackboneSection):
    """DIEN (Zhou et al. 2019): a GRU extracts interests from the behaviours, and one
    with attention to the item lets them evolve."""

    reads_sequences: ClassVar[bool] = True

    name: Literal["dien"]
    units: PositiveInt = 32
    """Width of the states of both GRUs."""
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0
    auxiliary_weight: NonNegativeFloat = 1.0
    """Of the auxiliary loss, which lets each state of the GRU tell the next behaviour
    from another one. It is for training alone; 0 leaves it out."""
    auxiliary_hidden: Widths = [100, 50]
    """Of the MLP that tells these apart."""


class PathMatching(BackboneSection):
    """DBPMaN (Dong et al. 2023): the path of the last behaviours is matched with those
    of the past, and with what followed them."""

    reads_sequences: ClassVar[bool] = True

    name: Literal["dbpman"]
    path_length: PositiveInt = 10
    stride: PositiveInt = 5
    """Behaviours between the beginnings of two paths."""
    max_paths: PositiveInt = 18
    """The most recent ones are kept."""
    kept: PositiveInt = 5
    """Behaviours of a path that count."""
    attention_hidden: Widths = [64, 32]
    router_hidden: PositiveInt = 32
    """Of the MLP that chooses them."""
    hidden: Widths = [200, 80]
    dropout: Rate = 0.0
    auxiliary_weight: NonNegativeFloat = 0.1
    """Of the contrastive loss between two views of a history. It is for training alone;
    0 leaves it out."""
    item_dropout: Rate = 0.2
    """Share of the items (the first field of a sequence) that a view does not see."""


class TemporalInterest(BackboneSection):
    """TIN (Zhou et al. 2024): attention by what a behaviour was and how many behaviours
    ago it was."""

    reads_sequences: ClassVar[bool] = True

    name: Literal["tin"]
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0


class SelfAttention(BackboneSection):
    """The behaviours of each sequence attend to each other, and are then mean-pooled
    (Vaswani et al. 2017, with one head)."""

    reads_sequences: ClassVar[bool] = True

    name: Literal["self_attention"]
    width: PositiveInt = 32
    """Of queries, keys and values."""
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0


class FactorizationMachine(BackboneSection):
    """FM (Rendle 2010): a weight for each value, and the products of all embeddings.

    Sequences are mean-pooled; a number is a vector of its own times the number.
    """

    gives_score: ClassVar[bool] = True
    first_order: ClassVar[bool] = True
    equal_widths: ClassVar[bool] = True

    name: Literal["fm"]


class FieldWeightedFM(BackboneSection):
    """FwFM (Pan et al. 2018): FM with a weight for each pair of fields."""

    gives_score: ClassVar[bool] = True
    first_order: ClassVar[bool] = True
    equal_widths: ClassVar[bool] = True

    name: Literal["fwfm"]


class GroupWeightedFM(BackboneSection):
    """GwPFM (Pan et al. 2024): FM with a vector for each part that a value can meet.

    An embedding holds the vectors for all parts, one after another, so its width is a
    multiple of their number. Each pair of parts has a weight.
    """

    gives_score: ClassVar[bool] = True
    first_order: ClassVar[bool] = True
    equal_widths: ClassVar[bool] = True

    name: Literal["gwpfm"]
    parts: Parts | None = None
    """The features of each part, every feature in one; unless given, a feature's part
    is its `group`."""


class DeepNetwork(BackboneSection):
    """An MLP over everything side by side."""

    name: Literal["dnn"]
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0
    number_dim: PositiveInt | None = None
    """As of `dcn_v2`."""


class WideAndDeep(BackboneSection):
    """Wide & Deep (Cheng et al. 2016): a weight for each value, beside an MLP."""

    first_order: ClassVar[bool] = True

    name: Literal["wide_deep"]
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0
    number_dim: PositiveInt | None = None
    """As of `dcn_v2`."""


class DeepFM(BackboneSection):
    """DeepFM (Guo et al. 2017): an FM and an MLP over the same embeddings."""

    first_order: ClassVar[bool] = True
    equal_widths: ClassVar[bool] = True

    name: Literal["deepfm"]
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0


class InnerProductNetwork(BackboneSection):
    """IPNN (Qu et al. 2016): an MLP over all embeddings and their inner products."""

    equal_widths: ClassVar[bool] = True

    name: Literal["ipnn"]
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0


class MaskNetwork(BackboneSection):
    """MaskNet (Wang et al. 2021): layers whose inputs are masked by the embeddings.

    `serial` blocks take each other's outputs and have the widths `hidden`; `parallel`
    ones all take the embeddings, and an MLP with the widths `hidden` their outputs.
    """

    equal_widths: ClassVar[bool] = True

    name: Literal["masknet"]
    structure: Literal["serial", "parallel"] = "serial"
    hidden: Widths = [256, 128]
    blocks: PositiveInt = 3
    """In parallel; the number of serial ones is that of `hidden`."""
    block_width: PositiveInt = 128
    """Of parallel blocks."""
    reduction: PositiveFloat = 1.0
    """Width of a mask's hidden layer, as a multiple of the width that is masked."""
    dropout: Rate = 0.0


Backbone = Annotated[
    LogisticRegression
    | Flat
    | FactorizationMachine
    | FieldWeightedFM
    | GroupWeightedFM
    | DeepNetwork
    | WideAndDeep
    | DeepFM
    | InnerProductNetwork
    | CrossNetworkV2
    | MaskNetwork
    | DeepInterest
    | DeepInterestEvolution
    | PathMatching
    | TemporalInterest
    | SelfAttention,
    Field(discriminator="name"),
]
