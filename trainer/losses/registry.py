"""The losses by the name they have in a job: one line each."""

from typing import Any

from configs.losses import Loss as Config
from configs.own import OwnLoss, implementation_of
from trainer.losses.base import Loss
from trainer.losses.bce import BinaryCrossEntropy
from trainer.losses.combined_contrastive import CombinedContrastive
from trainer.losses.combined_list import CombinedList
from trainer.losses.combined_pair import CombinedPair
from trainer.losses.focal import Focal
from trainer.losses.focal_balanced import BalancedFocal
from trainer.losses.jrc import JointRankingCalibration
from trainer.losses.pwiser import PWiseR
from trainer.losses.ranknet import RankNet
from trainer.losses.rcr import RegressionCompatibleRanking

__all__ = ["LOSSES", "build_loss"]

LOSSES: dict[str, type[Loss]] = {
    "bce": BinaryCrossEntropy,
    "ranknet": RankNet,
    "combined_pair": CombinedPair,
    "combined_contrastive": CombinedContrastive,
    "combined_list": CombinedList,
    "rcr": RegressionCompatibleRanking,
    "jrc": JointRankingCalibration,
    "focal": Focal,
    "focal_balanced": BalancedFocal,
    "pwiser": PWiseR,
}


# What the caller does: weighing a loss, and giving it contexts and extras.
_CALLERS = {"name", "weight", "context", "conversion"}


def build_loss(config: Config | OwnLoss) -> Loss:
    """Returns the loss of a job's section, whose `weight`, `context` and labels are the
    caller's to apply."""
    arguments: dict[str, Any] = config.model_dump(exclude=_CALLERS)
    if isinstance(config, OwnLoss):
        loss: Loss = implementation_of(config)(**arguments)
        return loss
    return LOSSES[config.name](**arguments)
