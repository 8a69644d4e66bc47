"""The model that is trained: the inference model, its losses and auxiliary tasks."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from configs.job import Job
from configs.layout import LABEL_KINDS, LABELS, EventKind
from trainer.auxiliary.of_backbone import build_backbone_loss
from trainer.auxiliary.registry import build_auxiliary
from trainer.inference import InferenceModel
from trainer.layers.groups import EmbeddedGroups
from trainer.precision import computing_in
from trainer.task_losses import TaskLosses

__all__ = ["TrainingModel"]

Batch = Mapping[str, tf.Tensor]


class TrainingModel(keras.Model):  # type: ignore[misc]
    """Gives the losses of a batch: those of each task, and the auxiliary tasks.

    A task with `given` learns from the rows where that label is 1. How down-sampling is
    corrected, and what losses see of other replicas, `TaskLosses` says.

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
        self._task_losses = {
            task: TaskLosses(job, task, inference.heads[task])
            for task in job.model.tasks
        }
        seed = job.training.seed if seed is None else seed
        self._auxiliary = {
            config.name: build_auxiliary(
                config, job, inference.embedding.layout, seed=seed
            )
            for config in job.model.auxiliary
        }
        self._of_backbone = build_backbone_loss(
            job, inference.embedding.layout, inference.backbone, seed=seed
        )
        self._compiled_hidden = tf.function(
            inference.hidden_and_states, jit_compile=True, autograph=False
        )
        self.built = True

    @property
    def table_variables(self) -> list[keras.Variable]:
        """The embedding tables, those of auxiliary tasks last: their gradients are
        `tf.IndexedSlices`."""
        tables = self.inference.tables.table_variables
        for layer in self._auxiliary.values():
            tables = [*tables, *getattr(layer, "table_variables", [])]
        return tables

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
        the value of the global batch: terms that compare rows see those of all
        replicas, and the number of rows of all replicas is the denominator. A batch
        without rows gives 0.

        Args:
            batch: all keys of `configs.layout`.
            training: whether dropout is on.

        Returns:
            float32 scalars: `loss`, `TASK/LOSS` and `auxiliary/NAME`. `loss` is the sum
            of these, each times the weight of the loss and of the task. Besides, with
            losses inside contexts, `TASK/contexts_with_pairs`: the share of contexts
            that hold a positive and a negative row, which is no part of the loss.
        """
        groups = self.inference.embed(batch)
        hidden, states = self._hidden(groups, training)
        outputs = self.inference.outputs(hidden)
        losses: dict[str, tf.Tensor] = {}
        logged: dict[str, tf.Tensor] = {}
        total = tf.constant(0.0)
        for task, section in self._job.model.tasks.items():
            values, others = self._task_losses[task](outputs[task], hidden[task], batch)
            for loss in section.losses:
                losses[f"{task}/{loss.name}"] = values[loss.name]
                total += section.weight * loss.weight * values[loss.name]
            logged |= {f"{task}/{name}": value for name, value in others.items()}
        batch = _with_new_positives(batch)
        for config in self._job.model.auxiliary:
            value = self._auxiliary[config.name](groups, dict(batch))
            losses[f"auxiliary/{config.name}"] = value
            total += config.weight * value
        if self._of_backbone is not None:
            backbone = self._job.model.backbone
            weight: float = getattr(backbone, "auxiliary_weight", 0.0)
            value = self._of_backbone(groups, dict(batch), states)
            losses[f"auxiliary/{backbone.name}"] = value
            total += weight * value
        return {"loss": total, **losses, **logged}

    def _hidden(
        self, groups: EmbeddedGroups, training: bool
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Runs backbone and multi-task layers as `training.precision` and `jit_compile`
        say; returns what `InferenceModel.hidden_and_states` does, as float32."""
        options, hidden = self._job.training, self.inference.hidden_and_states
        # A score is a sum, and nothing that could gain by either.
        if self.inference.backbone.gives_score:
            return hidden(groups, training=training)
        if options.jit_compile and training:
            hidden = self._compiled_hidden
        with computing_in(options.precision, *self.inference.hidden_layers):
            found: tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]
            found = hidden(groups, training=training)
            found = tf.nest.map_structure(lambda x: tf.cast(x, tf.float32), found)
            return found


def _with_new_positives(batch: Batch) -> Batch:
    """Returns the batch for auxiliary tasks: where labels come late, a label is 1 in
    the one row of its impression that tells so first."""
    if LABEL_KINDS not in batch:
        return batch
    news = tf.not_equal(batch[LABEL_KINDS], EventKind.REPEATED)
    return {**batch, LABELS: batch[LABELS] * tf.cast(news, tf.float32)}
