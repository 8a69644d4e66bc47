"""The losses by the name they have in a job: one line each."""

from collections.abc import Callable
from typing import Any

from configs.model import Loss as Config
from trainer.losses.base import Loss
from trainer.losses.bce import BinaryCrossEntropy
from trainer.losses.combined_pair import CombinedPair
from trainer.losses.ranknet import RankNet

__all__ = ["LOSSES", "build_loss"]

LOSSES: dict[str, Callable[..., Loss]] = {
    "bce": BinaryCrossEntropy,
    "ranknet": RankNet,
    "combined_pair": CombinedPair,
}


def build_loss(config: Config) -> Loss:
    """Returns the loss of a job's section; its `weight` is the caller's to apply."""
    arguments: dict[str, Any] = config.model_dump(exclude={"name", "weight"})
    return LOSSES[config.name](**arguments)
