"""The error of Combined-Pair's pair sum against the double sum in float64."""

import numpy as np
import tensorflow as tf

from trainer.losses.chebyshev import ChebyshevPairs
from trainer.losses.pair_matrix import PairMatrix

__all__ = ["accuracy_table"]

RANGES = (0.0, 1.0, 8.0, 16.0, 30.0, 60.0)
NEGATIVES = 4_095
POSITIVES = (1, 82, 1_365)


def accuracy_table() -> str:
    """Returns a Markdown table: errors by range, positives and distribution."""
    lines = [
        "| positives of "
        + f"{NEGATIVES:,} + P | distribution | error of | "
        + " | ".join(f"range {x:g}" for x in RANGES)
        + " |",
        "| --- " * (3 + len(RANGES)) + "|",
    ]
    for positives in POSITIVES:
        for distribution in ("even", "apart", "outliers"):
            errors = [_errors(positives, distribution, spread) for spread in RANGES]
            for k, name in enumerate(("loss", "gradient")):
                cells = " | ".join(f"{error[k]:.0e}" for error in errors)
                lines.append(f"| {positives:,} | {distribution} | {name} | {cells} |")
    return "\n".join(lines)


def _errors(positives: int, distribution: str, spread: float) -> tuple[float, float]:
    """Of the loss by max(L, ln 2), and of the gradient by its largest entry."""
    random = np.random.default_rng(0)
    above, below = random.random(positives), random.random(NEGATIVES)
    if distribution == "apart":
        above, below = 0.6 + 0.4 * above, 0.4 * below
    above, below = spread * above, spread * below
    if distribution == "outliers":
        above[0], below[0], below[1] = -200.0, 1e4, -1e4
    logits = tf.constant(above), tf.constant(below)
    above_share = np.full(positives, 1.0 / positives)
    below_share = np.full(NEGATIVES, 1.0 / NEGATIVES)
    results = []
    for pairs in (ChebyshevPairs(*logits), PairMatrix(*logits)):
        sums = pairs.of_positives(tf.constant(below_share)).numpy()
        to_below = pairs.of_negatives(tf.constant(above_share)).numpy() * below_share
        gradient = np.concatenate([sums[:, 1] * above_share, to_below])
        results.append((float(sums[:, 0] @ above_share), gradient))
    (value, gradient), (expected, slopes) = results
    return (
        abs(value - expected) / max(expected, float(np.log(2.0))),
        float(np.abs(gradient - slopes).max() / np.abs(slopes).max()),
    )
