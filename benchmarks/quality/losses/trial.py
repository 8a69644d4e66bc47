"""One training in memory, watched: the cross-entropy and the logits' gradients."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.quality.losses.rows import Split
from configs.job import Job
from configs.layout import LABELS
from configs.manifest import read_manifest, read_statistics
from trainer.assembly import Assembly, assemble
from trainer.base_rates import base_rates
from trainer.inputs.examples import Batch
from trainer.inputs.files import ExampleFiles
from trainer.losses.bce import BinaryCrossEntropy
from trainer.task_losses import TaskLosses
from trainer.vocabularies import make_vocabularies

__all__ = ["Curves", "assemble_fresh", "run_trial"]

_SCORED_AT_ONCE = 65_536
_WATCHED = 60
"""Moments of a training at which the curves are taken."""
_UNSEEN_ROWS = 65_536


@dataclass
class Curves:
    """What was seen while training, a value for each moment.

    Attributes:
        step: steps done.
        training_bce: cross-entropy of the batch about to be learned.
        unseen_bce: of the same rows of the test split each time.
        negative_gradient: mean over the batch's negatives of |d loss / d logit|; of a
            head with two logits, of the logit of a click.
        no_click_gradient: the same of the logit of no click, if there is one.
    """

    step: list[int] = field(default_factory=list)
    training_bce: list[float] = field(default_factory=list)
    unseen_bce: list[float] = field(default_factory=list)
    negative_gradient: list[float] = field(default_factory=list)
    no_click_gradient: list[float] = field(default_factory=list)


def run_trial(
    job: Job, examples: Path, training: Split, test: Split
) -> tuple[Curves, NDArray[np.float32]]:
    """Trains `training.epochs` epochs and returns the curves and the test's logits."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(job.training.seed)
    assembly = assemble_fresh(job, examples)
    watch = _Watch(job, assembly, training, test)
    step = 0
    for epoch in range(job.training.epochs):
        seed = 1_000 * job.training.seed + epoch
        for batch in training.batches(job.training.batch_size, seed=seed):
            if step % watch.every == 0:
                watch(step, batch)
            assembly.step((batch,))
            step += 1
    return watch.curves, np.concatenate(list(_logits(assembly, test)))


def assemble_fresh(job: Job, examples: Path) -> Assembly:
    """Returns the model of a job with fresh weights."""
    source = ExampleFiles(
        str(examples), "train", job, batch_size=job.training.batch_size
    )
    split = read_manifest(examples).splits["train"]
    return assemble(
        job,
        statistics=read_statistics(examples),
        vocabularies=make_vocabularies(job, str(examples)),
        base_rates=base_rates(job, split),
        element_spec=source.element_spec,
    )


def _logits(assembly: Assembly, split: Split) -> Iterator[NDArray[np.float32]]:
    predict = tf.function(assembly.inference, reduce_retracing=True, autograph=False)
    for batch in split.batches(_SCORED_AT_ONCE):
        yield predict(batch)["click"].numpy()


class _Watch:
    def __init__(
        self, job: Job, assembly: Assembly, training: Split, test: Split
    ) -> None:
        self.curves = Curves()
        steps = -(-training.rows // job.training.batch_size) * job.training.epochs
        self.every = max(steps // _WATCHED, 1)
        self._inference = assembly.inference
        self._losses = TaskLosses(job, "click", assembly.inference.heads["click"])
        self._weights: dict[str, float] = {
            x.name: x.weight for x in job.model.tasks["click"].losses
        }
        self._unseen = next(test.batches(_UNSEEN_ROWS))
        self._bce = BinaryCrossEntropy()
        self._see = tf.function(self._seen, reduce_retracing=True, autograph=False)
        self._score = tf.function(self._scored, reduce_retracing=True, autograph=False)

    def __call__(self, step: int, batch: Batch) -> None:
        bce, gradients = self._see(batch)
        self.curves.step.append(step)
        self.curves.training_bce.append(float(bce))
        self.curves.unseen_bce.append(float(self._score(self._unseen)))
        norms = [float(x) for x in gradients]
        self.curves.negative_gradient.append(norms[-1])
        if len(norms) > 1:
            self.curves.no_click_gradient.append(norms[0])

    def _scored(self, batch: Batch) -> tf.Tensor:
        logits = self._inference(batch)["click"]
        return tf.reduce_mean(self._bce.per_example(logits, batch[LABELS][:, 0]))

    def _seen(self, batch: Batch) -> tuple[tf.Tensor, Any]:
        hidden = self._inference.hidden(self._inference.embed(batch), training=True)
        outputs = self._inference.outputs(hidden)["click"]
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            values, _ = self._losses(outputs, hidden["click"], batch)
            loss = tf.add_n([self._weights[k] * x for k, x in values.items()])
        labels = batch[LABELS][:, 0]
        gradients = tf.abs(tape.gradient(loss, outputs))
        means = tf.reduce_mean(gradients[labels < 0.5], axis=0)
        logits = self._inference.heads["click"].logit(outputs)
        bce = tf.reduce_mean(self._bce.per_example(logits, labels))
        return bce, tf.reshape(means, (-1,))
