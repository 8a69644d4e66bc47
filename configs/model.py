"""The model of a job: backbone, tasks with their losses, auxiliary tasks."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from configs.auxiliary import NIP, UIM, Auxiliary
from configs.backbones import Backbone
from configs.experts import HeterogeneousExperts
from configs.losses import BinaryCrossEntropy, Loss, cross_entropy_share
from configs.multi_task import MultiTask
from configs.own import OwnAuxiliary, OwnBackbone, OwnLoss, own
from configs.section import Section

__all__ = [
    "NIP",
    "UIM",
    "Auxiliary",
    "Correction",
    "Head",
    "Model",
    "Observations",
    "Task",
]

Correction = Literal["logit_shift", "weights", "none"]
"""How training undoes the down-sampling of negatives: the losses see z - ln r, or a
dropped-from negative weighs 1/r, or nothing is done (for comparisons only)."""


Observations = Literal["settled", "first", "first_and_late", "fnw"]
"""Which rows a task learns from, where impressions come several times: those from which
on the label is known for good; the first of each, with the label known by then; those
and once more each that turns positive later; or the same with fake-negative weights."""


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
    entire_space: str | None = None
    """A task above this one, whose label this one's comes `after`: the head then gives
    the probability given that label, and the prediction is the product of both, learned
    on all rows (ESMM). What the head gives is served too, as TASK_given_OTHER."""
    correction: Correction | None = None
    """`logit_shift` for the label whose negatives are dropped, unless given here."""
    observations: Observations = "settled"
    """Which rows the task learns from where labels come late
    (`stream.join.observe`). `settled`: each impression once, when its label is known
    for good. `fnw`: at once, and once more if the label turns 1, with weights that undo
    the fake negatives (Ktena et al. 2019). `first` (at once, and never again) and
    `first_and_late` (both, as they are) predict too little: they are there to compare
    with."""
    losses: list[Annotated[Loss, own(OwnLoss), SerializeAsAny()]] = Field(
        default=[BinaryCrossEntropy(name="bce")], min_length=1
    )
    """See below; or of your own, by their import paths."""
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

    @model_validator(mode="after")
    def _one_space(self) -> "Task":
        if self.entire_space is None:
            return self
        if self.given is not None:
            raise ValueError(
                "'given' learns on a part of the rows and 'entire_space' on all: keep"
                " one of them"
            )
        if self.head == "two_logits":
            raise ValueError(
                "'entire_space' gives one logit, that of a product: use 'head:"
                " single_logit', and another loss if it is jrc"
            )
        return self


class Model(Section):
    """What is trained. Auxiliary tasks take part in training only."""

    backbone: Annotated[
        Backbone | HeterogeneousExperts,
        Field(discriminator="name"),
        own(OwnBackbone),
        SerializeAsAny(),
    ]
    """See below; or one of your own, `name: "my_package.towers:MyTower"`."""
    multi_task: MultiTask | None = None
    """What lies between the backbone and the heads: layers of each task, and what
    tasks share. All heads take the backbone's hidden vector unless given."""
    embedding_dim: PositiveInt | None = None
    """Width of every embedding that does not name its own."""
    tasks: dict[str, Task] = Field(min_length=1)
    auxiliary: list[Annotated[Auxiliary, own(OwnAuxiliary), SerializeAsAny()]] = []
    """See below; or of your own, by their import paths."""

    def factors(self, task: str) -> list[str]:
        """Returns the tasks whose factors multiply to the probability of `task`, from
        the first to itself: of a purchase over the entire space click and purchase; of
        any other task itself alone."""
        first = self.tasks[task].entire_space
        return [task] if first is None else [*self.factors(first), task]

    @property
    def conditionals(self) -> dict[str, str]:
        """The names under which entire-space tasks serve what their heads give, the
        probability given the task before, by task."""
        return {
            name: f"{name}_given_{task.entire_space}"
            for name, task in self.tasks.items()
            if task.entire_space is not None
        }

    @model_validator(mode="after")
    def _factors_stand_above(self) -> "Model":
        above: list[str] = []
        for name, task in self.tasks.items():
            place, first = f"tasks.{name}.entire_space", task.entire_space
            if first is not None and first not in above:
                raise ValueError(
                    f"{place}: expected a task that stands above it"
                    f" ({above or 'there is none'}), got {first!r}"
                )
            if first is not None and self.tasks[first].given is not None:
                raise ValueError(
                    f"{place}: {first!r} is itself learned on a part of the rows"
                    f" ('given: {self.tasks[first].given}'): make it 'entire_space'"
                )
            above.append(name)
        for name, conditional in self.conditionals.items():
            if conditional in self.tasks:
                raise ValueError(
                    f"tasks.{name}.entire_space serves p({name} given the other) as"
                    f" {conditional!r}, which is also a task: rename that label"
                )
        return self

    @field_validator("auxiliary", mode="after")
    @classmethod
    def _each_once(cls, value: list[Any]) -> list[Any]:
        names = [item.name for item in value]
        if len(set(names)) != len(names):
            raise ValueError(f"an auxiliary task is named twice: {names}")
        return value
