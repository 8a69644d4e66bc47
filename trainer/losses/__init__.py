"""Losses on logits, one file each; also usable alone in `model.compile`."""

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
from trainer.losses.registry import LOSSES, build_loss

__all__ = [
    "LOSSES",
    "BalancedFocal",
    "BinaryCrossEntropy",
    "CombinedContrastive",
    "CombinedList",
    "CombinedPair",
    "Focal",
    "JointRankingCalibration",
    "Loss",
    "PWiseR",
    "RankNet",
    "RegressionCompatibleRanking",
    "build_loss",
]
