"""The backbones of a model: what lies between embedded features and heads."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from configs.section import Section

__all__ = [
    "Backbone",
    "BackboneSection",
    "CrossNetworkV2",
    "DeepInterest",
    "Flat",
    "LogisticRegression",
    "Rate",
    "Widths",
]

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Widths = Annotated[list[PositiveInt], Field(min_length=1)]


class BackboneSection(Section):
    """What all backbones say of themselves.

    Attributes:
        gives_score: whether the backbone gives one number, a logit up to a bias, and no
            hidden vector: it then serves one task, with a single logit.
        first_order: whether it needs a weight for each value of each feature, beside
            the embeddings.
        equal_widths: whether all embeddings must have one width.
    """

    gives_score: ClassVar[bool] = False
    first_order: ClassVar[bool] = False
    equal_widths: ClassVar[bool] = False


class LogisticRegression(BackboneSection):
    """A weight for each value of each feature: every embedding must have dim 1."""

    gives_score: ClassVar[bool] = True

    name: Literal["logistic_regression"]


class Flat(BackboneSection):
    """The embeddings as they are, for the experts of a `multi_task` section: without
    one, the model is linear in them."""

    name: Literal["flat"]


class CrossNetworkV2(BackboneSection):
    """DCN V2 (Wang et al. 2021): explicit crosses and an MLP."""

    name: Literal["dcn_v2"]
    structure: Literal["parallel", "stacked"] = "parallel"
    cross_layers: PositiveInt = 3
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0


class DeepInterest(BackboneSection):
    """DIN (Zhou et al. 2018): target attention over the behaviour sequences.

    A sequence attends to the item through the fields that share a table with an item
    feature; an MLP takes the pooled interest and all other groups.
    """

    name: Literal["din"]
    attention_hidden: Widths = [64, 32]
    hidden: Widths = [256, 128]
    dropout: Rate = 0.0


Backbone = Annotated[
    LogisticRegression | Flat | CrossNetworkV2 | DeepInterest,
    Field(discriminator="name"),
]
