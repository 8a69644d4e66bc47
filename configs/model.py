"""The model of a job: backbone, tasks with their losses, auxiliary tasks."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from configs.backbones import Backbone
from configs.losses import BinaryCrossEntropy, Loss, cross_entropy_share
from configs.section import Section

__all__ = [
    "NIP",
    "UIM",
    "Auxiliary",
    "Correction",
    "Head",
    "Model",
    "Task",
]

Correction = Literal["logit_shift", "weights", "none"]
"""How training undoes the down-sampling of negatives: the losses see z - ln r, or a
dropped-from negative weighs 1/r, or nothing is done (for comparisons only)."""


Head = Literal["single_logit", "two_logits"]
"""One logit z, or two, of no click and of click, with z = z1 - z0 (for JRC)."""


class Task(Section):
    """One prediction, for the label of the same name."""

    head: Head = "single_logit"
    """`two_logits` gives one logit for no click and one for click, as JRC needs; other
    losses see their difference, and that is what is served."""
    given: str | None = None
    """A label that must be 1: the task is then learned, and its metrics are taken, on
    those rows alone, and the prediction is conditional (conversion given click)."""
    correction: Correction | None = None
    """`logit_shift` for the label whose negatives are dropped, unless given here."""
    losses: list[Loss] = Field(default=[BinaryCrossEntropy(name="bce")], min_length=1)
    weight: PositiveFloat = 1.0
    """Of this task in the total loss."""

    @field_validator("correction", mode="before")
    @classmethod
    def _not_both(cls, value: Any) -> Any:
        if isinstance(value, list):
            raise ValueError(
                f"one correction can be used, got {value}: correcting by weights and by"
                " logit shift at once corrects twice. Keep 'logit_shift' (the default)"
            )
        return value

    @model_validator(mode="after")
    def _losses_add_up(self) -> "Task":
        names = [loss.name for loss in self.losses]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"the losses {twice} are named twice: give each once, with its weight"
            )
        entropies = [x.name for x in self.losses if cross_entropy_share(x) > 0.0]
        if len(entropies) > 1:
            raise ValueError(
                f"the losses {entropies} each contain a binary cross-entropy: keep one"
                " of them, or give the others 'alpha: 0' (combined_pair is alpha of bce"
                " and 1 - alpha of ranknet)"
            )
        if "jrc" in names and self.head != "two_logits":
            raise ValueError("the loss jrc takes two logits: set 'head: two_logits'")
        return self


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


Auxiliary = Annotated[UIM | NIP, Field(discriminator="name")]


class Model(Section):
    """What is trained. Auxiliary tasks take part in training only."""

    backbone: Backbone
    embedding_dim: PositiveInt | None = None
    """Width of every embedding that does not name its own."""
    tasks: dict[str, Task] = Field(min_length=1)
    auxiliary: list[Auxiliary] = []

    @field_validator("auxiliary", mode="after")
    @classmethod
    def _each_once(cls, value: list[Any]) -> list[Any]:
        names = [item.name for item in value]
        if len(set(names)) != len(names):
            raise ValueError(f"an auxiliary task is named twice: {names}")
        return value
