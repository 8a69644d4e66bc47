"""Every loss with its oracle, and batches to try them on.

A case joins a loss to the double loop that defines it. Tests over all losses take
their cases from here: a new loss joins them by a line in `CASES`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tests.oracles import losses as oracle
from trainer.losses import LOSSES, Loss
from trainer.losses.base import mean_loss, rows_left


class Batch(NamedTuple):
    """NumPy arrays of B rows; `logits` is [B, 2] for a loss of two logits."""

    logits: Any
    labels: Any
    weights: Any
    contexts: Any
    hidden: Any
    conversions: Any

    def rows(self, which: Any) -> "Batch":
        return Batch(*(values[which] for values in self))

    def __add__(self, other: "Batch") -> "Batch":  # type: ignore[override]
        return Batch(*(np.concatenate(both) for both in zip(self, other, strict=True)))


def random_batch(loss: Loss, seed: int = 0, count: int = 12) -> Batch:
    """Rows of both labels in three contexts, some converted, all of some weight."""
    random = np.random.default_rng(seed)
    labels = (random.random(count) < 0.5).astype(np.float32)
    conversions = labels * (random.random(count) < 0.5)
    # A converted row, one clicked only, and one not clicked at the least.
    labels[:3], conversions[:3] = (0.0, 1.0, 1.0)[:count], (0.0, 1.0, 0.0)[:count]
    shape = (count, 2) if loss.two_logits else (count,)
    return Batch(
        logits=(random.normal(size=shape) * 2.0).astype(np.float32),
        labels=labels,
        weights=random.uniform(0.2, 3.0, count).astype(np.float32),
        # Neighbors above 2^24, which are one number in float32, and out of order.
        contexts=random.permutation(np.arange(count) % 3 + 2**40).astype(np.int64),
        hidden=random.normal(size=(count, 4)).astype(np.float32),
        conversions=conversions.astype(np.float32),
    )


def result_tensors(
    loss: Loss, batch: Batch, *, mask: Any = None, **arguments: Any
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The loss of a batch and its gradients by `logits` and, where used, `hidden`.

    `arguments` overrides weights and contexts, whose default is that of the batch.
    """
    given = {"weights": batch.weights, "contexts": batch.contexts, "mask": mask}
    given |= {name: getattr(batch, name) for name in loss.extras} | arguments
    tensors = {k: v if v is None else tf.convert_to_tensor(v) for k, v in given.items()}
    inputs = {"logits": tf.convert_to_tensor(batch.logits)}
    if "hidden" in tensors:
        inputs["hidden"] = tensors["hidden"]
    labels = tf.convert_to_tensor(batch.labels)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        losses = loss.per_example(inputs["logits"], labels, **tensors)
        value = mean_loss(losses, rows_left(labels, tensors["mask"]))
    assert losses.shape == labels.shape and losses.dtype == tf.float32
    gradients = tape.gradient(
        value, inputs, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return value, {k: tf.convert_to_tensor(v) for k, v in gradients.items()}


def result(loss: Loss, batch: Batch, **arguments: Any) -> tuple[float, dict[str, Any]]:
    """As `result_tensors`, in NumPy."""
    value, gradients = result_tensors(loss, batch, **arguments)
    return float(value), {k: v.numpy() for k, v in gradients.items()}


Oracle = Callable[..., float]


class Case(NamedTuple):
    """A loss and what is true of it.

    Attributes:
        loss: the loss.
        oracle: its definition: (logits, labels, weights, contexts, **extras).
        pointwise: the oracle of its part that is linear in the scale of the weights.
        ranking: (a loss with the ranking term alone, what such a term of a batch
            weighs in a mean over contexts) for each ranking term; empty without any.
    """

    loss: Loss
    oracle: Oracle
    pointwise: Oracle
    ranking: tuple[tuple[Loss, Callable[[Batch], float]], ...] = ()

    def expected(self, batch: Batch, **arguments: Any) -> float:
        return self._by(self.oracle, batch, **arguments)

    def expected_pointwise(self, batch: Batch) -> float:
        return self._by(self.pointwise, batch)

    def _by(self, formula: Oracle, batch: Batch, **arguments: Any) -> float:
        given = {"weights": batch.weights, "contexts": batch.contexts} | arguments
        if given["weights"] is None:
            given["weights"] = np.ones_like(batch.labels)
        extras = {name: getattr(batch, name).tolist() for name in self.loss.extras}
        contexts = given["contexts"]
        return formula(
            batch.logits.tolist(),
            batch.labels.tolist(),
            given["weights"].tolist(),
            None if contexts is None else contexts.tolist(),
            **extras,
        )


def pairs(batch: Batch) -> float:
    positive = batch.labels == 1.0
    return batch.weights[positive].sum() * batch.weights[~positive].sum()


def pairs_with(label: float, batch: Batch) -> float:
    group = (batch.labels == label) & (batch.conversions == 0.0)
    converted = batch.weights[batch.conversions == 1.0]
    return converted.sum() * batch.weights[group].sum()


def positives(batch: Batch) -> float:
    return batch.weights[batch.labels == 1.0].sum()


def every_row(batch: Batch) -> float:
    return batch.weights.sum()


def without_contexts(formula: Oracle, **parameters: Any) -> Oracle:
    """A pointwise formula, with the arguments of the others."""

    def call(z: Any, y: Any, w: Any, contexts: Any, **extras: Any) -> float:
        del contexts, extras
        return formula(z, y, w, **parameters)

    return call


def cross_entropy(alpha: float, beta: float = 1.0) -> Oracle:
    def call(z: Any, y: Any, w: Any, contexts: Any, **extras: Any) -> float:
        del contexts, extras
        if z and isinstance(z[0], list):
            z = [click - no_click for no_click, click in z]
        return alpha * oracle.bce(z, y, w, beta)

    return call


def nothing(*arguments: Any, **extras: Any) -> float:
    del arguments, extras
    return 0.0


def pointwise(name: str, formula: Oracle, **parameters: Any) -> Case:
    same = without_contexts(formula, **parameters)
    given = {k: v for k, v in parameters.items() if k != "balanced"}
    return Case(LOSSES[name](**given), same, same)


def combined(
    name: str,
    formula: Oracle,
    weight: Callable[[Batch], float],
    alpha: float = 0.9,
    beta: float = 1.0,
    **parameters: Any,
) -> Case:
    return Case(
        LOSSES[name](alpha=alpha, beta=beta, **parameters),
        partial(formula, alpha=alpha, beta=beta, **parameters),
        cross_entropy(alpha, beta) if alpha > 0.0 else nothing,
        ((LOSSES[name](alpha=0.0, **parameters), weight),),
    )


def pwiser(**parameters: float) -> Case:
    return Case(
        LOSSES["pwiser"](**parameters),
        partial(oracle.pwiser, **parameters),
        cross_entropy(1.0, parameters.get("beta", 1.0)),
    )


def _cases() -> dict[str, Case]:
    cases = {
        "bce": pointwise("bce", oracle.bce),
        "bce beta": pointwise("bce", oracle.bce, beta=0.3),
        "focal": pointwise("focal", oracle.focal),
        "focal gamma": pointwise("focal", oracle.focal, gamma=0.5, beta=0.3),
        "focal_balanced": pointwise("focal_balanced", oracle.focal, balanced=True),
        "focal_balanced gamma": pointwise(
            "focal_balanced", oracle.focal, balanced=True, gamma=3.5, beta=0.3
        ),
        "ranknet": Case(
            LOSSES["ranknet"](),
            oracle.ranknet,
            nothing,
            ((LOSSES["ranknet"](), pairs),),
        ),
        "pwiser": pwiser(),
        "pwiser wide": pwiser(
            strength=2.0, conversion_margin=1.0, click_margin=0.0, beta=0.2
        ),
    }
    several: Mapping[str, tuple[Oracle, Callable[[Batch], float]]] = {
        "combined_pair": (oracle.combined_pair, pairs),
        "combined_list": (oracle.combined_list, positives),
        "rcr": (oracle.rcr, positives),
        "jrc": (oracle.jrc, every_row),
        "combined_contrastive": (oracle.combined_contrastive, every_row),
    }
    for name, (formula, weight) in several.items():
        cases[name] = combined(name, formula, weight)
        if name != "combined_pair":  # That is RankNet.
            cases[f"{name} alone"] = combined(name, formula, weight, 0.0)
    for name in ("combined_list", "jrc"):  # The mixture is the same code for all.
        cases[f"{name} half"] = combined(name, *several[name], 0.5, 0.2)
    return cases


CASES = _cases()
