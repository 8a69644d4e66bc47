"""The model that is trained: the inference model, its losses and auxiliary tasks."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from configs.job import Job
from configs.layout import LABELS, NEGATIVE_KEEP_RATE, layout_of
from configs.model import Task
from trainer.auxiliary.registry import build_auxiliary
from trainer.collectives import global_sum
from trainer.inference import InferenceModel
from trainer.losses.base import Loss, mean_loss
from trainer.losses.registry import build_loss

__all__ = ["TrainingModel"]

Batch = Mapping[str, tf.Tensor]


class TrainingModel(keras.Model):  # type: ignore[misc]
    """Gives the losses of a batch.

    Of the down-sampling correction: with `logit_shift` the losses see z - ln r(x),
    z being the true logit; with `weights` they see z, and rows whose sampled label is
    0 weigh 1/r. A task with `given` learns from the rows where that label is 1.

    Args:
        inference: the model that will be served; its variables are part of this one.
        job: the job.
        seed: of the initial weights of the auxiliary tasks; `training.seed` unless
            given.
    """

    def __init__(
        self, inference: InferenceModel, job: Job, *, seed: int | None = None
    ) -> None:
        super().__init__(name="training")
        self.inference = inference
        self._job = job
        self._labels = layout_of(job).labels
        self._task_terms: dict[str, list[tuple[str, float, Loss]]] = {
            task: [(x.name, x.weight, build_loss(x)) for x in section.losses]
            for task, section in job.model.tasks.items()
        }
        seed = job.training.seed if seed is None else seed
        self._auxiliary = {
            config.name: build_auxiliary(
                config, job, inference.embedding.layout, seed=seed
            )
            for config in job.model.auxiliary
        }
        self.built = True

    @property
    def table_variables(self) -> list[keras.Variable]:
        """The embedding tables: their gradients are `tf.IndexedSlices`."""
        return self.inference.tables.table_variables

    @property
    def dense_variables(self) -> list[keras.Variable]:
        """All other trainable variables."""
        tables = {id(variable) for variable in self.table_variables}
        return [v for v in self.trainable_variables if id(v) not in tables]

    @property
    def seed_variables(self) -> list[keras.Variable]:
        """The states of Keras seed generators (dropout). Keras does not count them
        among `weights`; a checkpoint that is to resume exactly has to hold them."""
        weights = {id(variable) for variable in self.weights}
        return [v for v in self.variables if id(v) not in weights]

    def call(self, batch: Batch, training: bool = False) -> dict[str, tf.Tensor]:
        """Returns the true logits by task, as the inference model does."""
        logits: dict[str, tf.Tensor] = self.inference(dict(batch), training=training)
        return logits

    def compute_losses(
        self, batch: Batch, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """Returns the total loss, and its components before their weights.

        Under a strategy each value is this replica's share, and the shares sum up to
        the value of the global batch: pointwise terms exactly, with the number of rows
        of all replicas as denominator; ranking and auxiliary terms as the replicas'
        own values, each weighted by its share of the rows. A batch without rows
        gives 0.

        Args:
            batch: all keys of `configs.layout`.
            training: whether dropout is on.

        Returns:
            float32 scalars: `loss`, `TASK/LOSS` and `auxiliary/NAME`. `loss` is the sum
            of the components, each times the weight of the loss and of the task.
        """
        groups = self.inference.embed(batch)
        outputs = self.inference.outputs(groups, training=training)
        losses: dict[str, tf.Tensor] = {}
        total = tf.constant(0.0)
        for task, section in self._job.model.tasks.items():
            values = self._values_of(task, section, outputs[task], batch)
            for (name, weight, _), value in zip(
                self._task_terms[task], values, strict=True
            ):
                losses[f"{task}/{name}"] = value
                total += section.weight * weight * value
        if self._auxiliary:
            share = _share_of_rows(batch)
            for config in self._job.model.auxiliary:
                value = share * self._auxiliary[config.name](groups, dict(batch))
                losses[f"auxiliary/{config.name}"] = value
                total += config.weight * value
        return {"loss": total, **losses}

    def _values_of(
        self, task: str, section: Task, outputs: tf.Tensor, batch: Batch
    ) -> list[tf.Tensor]:
        labels = self._label(task, batch)
        mask = None
        if section.given is not None:
            mask = self._label(section.given, batch) > 0.5
        correction = self._job.correction(task)
        keep_rate, weights = batch[NEGATIVE_KEEP_RATE], None
        if correction == "logit_shift":
            head = self.inference.heads[task]
            outputs = head.sampled(outputs, tf.math.log(keep_rate))
        elif correction == "weights":
            kept = self._label(self._job.sampled_label, batch) > 0.5
            weights = tf.where(kept, 1.0, 1.0 / keep_rate)
        counted = tf.ones_like(labels) if mask is None else tf.cast(mask, tf.float32)
        rows = global_sum(tf.reduce_sum(counted))
        return [
            mean_loss(
                loss.per_example(outputs, labels, weights=weights, mask=mask), rows
            )
            for _, _, loss in self._task_terms[task]
        ]

    def _label(self, name: str, batch: Batch) -> tf.Tensor:
        return batch[LABELS][:, self._labels.index(name)]


def _share_of_rows(batch: Batch) -> tf.Tensor:
    rows = tf.cast(tf.shape(batch[LABELS])[0], tf.float32)
    return tf.math.divide_no_nan(rows, global_sum(rows))
