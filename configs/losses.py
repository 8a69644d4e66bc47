"""The losses of a task: one section each, and what the rules ask of them."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from configs.own import OwnLoss
from configs.section import Section

__all__ = [
    "RCR",
    "BalancedFocal",
    "BinaryCrossEntropy",
    "CombinedContrastive",
    "CombinedList",
    "CombinedPair",
    "Context",
    "Focal",
    "JointRankingCalibration",
    "Loss",
    "PWiseR",
    "RankNet",
    "context_of",
    "cross_entropy_share",
]

Context = Literal["batch", "request", "session", "user"]
"""Within what rows are compared: the whole batch, or rows with the same id."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class BinaryCrossEntropy(Section):
    """Mean binary cross-entropy; positives weigh `beta`."""

    name: Literal["bce"]
    weight: PositiveFloat = 1.0
    beta: PositiveFloat = 1.0


class RankNet(Section):
    """Mean of softplus(z_negative - z_positive) over the pairs of a context."""

    name: Literal["ranknet"]
    weight: PositiveFloat = 1.0
    context: Context = "batch"


class CombinedPair(Section):
    """alpha * bce + (1 - alpha) * ranknet (KDD 2024, equation 4)."""

    name: Literal["combined_pair"]
    weight: PositiveFloat = 1.0
    alpha: Share = 0.9
    beta: PositiveFloat = 1.0
    context: Context = "batch"


class CombinedList(Section):
    """alpha * bce + (1 - alpha) * mean over positives of -log softmax(z) (ListNet)."""

    name: Literal["combined_list"]
    weight: PositiveFloat = 1.0
    alpha: Share = 0.9
    beta: PositiveFloat = 1.0
    context: Context = "batch"


class RCR(Section):
    """alpha * bce + (1 - alpha) * mean over positives of -log(p / sum of p)."""

    name: Literal["rcr"]
    weight: PositiveFloat = 1.0
    alpha: Share = 0.9
    beta: PositiveFloat = 1.0
    context: Context = "batch"


class JointRankingCalibration(Section):
    """JRC: alpha * cross-entropy of two logits + (1 - alpha) * listwise terms on both.

    Needs `head: two_logits`.
    """

    name: Literal["jrc"]
    weight: PositiveFloat = 1.0
    alpha: Share = 0.9
    beta: PositiveFloat = 1.0
    context: Context = "batch"


class Focal(Section):
    """Cross-entropy whose rows weigh (1 - p of their label) ** gamma."""

    name: Literal["focal"]
    weight: PositiveFloat = 1.0
    gamma: NonNegativeFloat = 2.0
    beta: PositiveFloat = 1.0


class BalancedFocal(Section):
    """Focal', in which negatives weigh 1 on average over the batch."""

    name: Literal["focal_balanced"]
    weight: PositiveFloat = 1.0
    gamma: NonNegativeFloat = 2.0
    beta: PositiveFloat = 1.0


class CombinedContrastive(Section):
    """alpha * bce + (1 - alpha) * supervised contrastive loss on the hidden vector."""

    name: Literal["combined_contrastive"]
    weight: PositiveFloat = 1.0
    alpha: Share = 0.9
    beta: PositiveFloat = 1.0
    temperature: Annotated[float, Field(ge=0.003)] = 0.1
    context: Context = "batch"


class PWiseR(Section):
    """bce + strength * squared hinges between converted, clicked and other rows."""

    name: Literal["pwiser"]
    weight: PositiveFloat = 1.0
    conversion: str
    """The label that tells converted rows; it forms groups and is not predicted."""
    strength: NonNegativeFloat = 0.3
    conversion_margin: Share = 0.3
    """By which p of converted rows is to exceed that of rows with a click alone."""
    click_margin: Share = 0.1
    """By which p of converted rows is to exceed that of rows without a click."""
    beta: PositiveFloat = 1.0
    context: Context = "batch"


Loss = Annotated[
    BinaryCrossEntropy
    | RankNet
    | CombinedPair
    | CombinedList
    | RCR
    | JointRankingCalibration
    | Focal
    | BalancedFocal
    | CombinedContrastive
    | PWiseR,
    Field(discriminator="name"),
]


def context_of(loss: Loss) -> Context:
    """Returns the context of a loss, `batch` for one that compares no rows."""
    context: Context = getattr(loss, "context", "batch")
    return context


def cross_entropy_share(loss: Loss | OwnLoss) -> float:
    """Returns how much binary cross-entropy a loss contains, before its weight."""
    if isinstance(loss, OwnLoss):
        return loss.cross_entropy
    if loss.name in ("ranknet", "focal", "focal_balanced"):
        return 0.0
    return float(getattr(loss, "alpha", 1.0))
