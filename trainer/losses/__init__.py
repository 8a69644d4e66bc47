"""Losses on logits, one file each; also usable alone in `model.compile`."""

from trainer.losses.base import Loss
from trainer.losses.bce import BinaryCrossEntropy
from trainer.losses.combined_pair import CombinedPair
from trainer.losses.ranknet import RankNet
from trainer.losses.registry import LOSSES, build_loss

__all__ = [
    "LOSSES",
    "BinaryCrossEntropy",
    "CombinedPair",
    "Loss",
    "RankNet",
    "build_loss",
]
