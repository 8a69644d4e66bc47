"""The model that is served: features in, true logits out, one for each probability.

This module and what it imports know no loss, auxiliary task or optimizer: export
builds it alone, so nothing that is for training only can get into a SavedModel.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from configs.errors import JobError
from configs.job import Job
from configs.manifest import Statistics
from trainer.backbones.registry import build_backbone
from trainer.entire_space import EntireSpace
from trainer.heads import build_head
from trainer.layers.features import FeatureEmbedding
from trainer.layers.groups import EmbeddedGroups
from trainer.layers.tables import FusedTables
from trainer.multi_task.registry import build_multi_task

__all__ = ["InferenceModel", "build_inference_model"]


class InferenceModel(keras.Model):  # type: ignore[misc]
    """Embeds, runs the backbone and what tasks share, and applies a head for each task.

    All variables exist after construction, under names that depend on the job alone.

    Args:
        job: the job.
        embedding: of its features.
        seed: of the initial weights.
    """

    def __init__(self, job: Job, embedding: FeatureEmbedding, *, seed: int) -> None:
        super().__init__(name="inference")
        self._embedding = embedding
        self._backbone = build_backbone(job.model.backbone, embedding.layout, seed=seed)
        score = self._backbone.gives_score
        if score and len(job.model.tasks) > 1:
            raise JobError(
                f"model.tasks: {job.model.backbone.name} gives one score, so it serves"
                f" one task, got {sorted(job.model.tasks)}: train a job for each"
            )
        width = self._backbone.width
        scores = getattr(self._backbone, "scores", 0)
        self._multi_task = None
        if job.model.multi_task is not None:
            self._multi_task = build_multi_task(
                job.model.multi_task, list(job.model.tasks), width, seed=seed
            )
            width = self._multi_task.width
            scores = 0
        self._heads = {
            task: _build_head(
                job, task, width, from_score=score, scores=scores, seed=seed
            )
            for task in job.model.tasks
        }
        self._before = {t: s.entire_space for t, s in job.model.tasks.items()}
        self._conditionals = job.model.conditionals
        self.built = True

    @property
    def tables(self) -> FusedTables:
        """The embedding tables."""
        return self._embedding.tables

    @property
    def embedding(self) -> FeatureEmbedding:
        """The layer from encoded features to embedded groups."""
        return self._embedding

    @property
    def backbone(self) -> keras.layers.Layer:
        """The layer from embedded groups to hidden vectors."""
        return self._backbone

    @property
    def hidden_layers(self) -> list[keras.layers.Layer]:
        """All layers between embedded groups and the hidden vectors of the tasks."""
        shared = [] if self._multi_task is None else [self._multi_task]
        return [self._backbone, *shared]

    @property
    def heads(self) -> dict[str, keras.layers.Layer]:
        """The heads by task."""
        return dict(self._heads)

    def call(
        self, features: dict[str, tf.Tensor], training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Predicts.

        Args:
            features: encoded features (keys and shapes: `configs.layout`).
            training: whether dropout is on.

        Returns:
            The true logits by task, float32 [B]: no shift is in them. Those of a task
            over the entire space are of the product; of its last factor they come as
            well, as `TASK_given_OTHER`.
        """
        outputs = self.outputs(self.hidden(self.embed(features), training=training))
        logits = {task: self._heads[task].logit(x) for task, x in outputs.items()}
        for task, name in self._conditionals.items():
            logits[name] = self._heads[task].conditional(outputs[task])
        return logits

    def embed(self, features: Mapping[str, tf.Tensor]) -> EmbeddedGroups:
        """Embeds encoded features; other keys are ignored."""
        groups: EmbeddedGroups = self._embedding(dict(features))
        return groups

    def hidden(
        self, groups: EmbeddedGroups, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Returns the last hidden vectors [B, width] by task, from which its head
        predicts: one for all unless the job has a `multi_task` section."""
        return self._by_task(self._backbone(groups, training=training), training)

    def hidden_and_states(
        self, groups: EmbeddedGroups, training: bool = False
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns `hidden`, and the states inside the backbone by name: of one that has
        `gives_states`, for those who train it. Nothing served comes from here."""
        if not getattr(self._backbone, "gives_states", False):
            return self.hidden(groups, training=training), {}
        hidden, states = self._backbone(groups, training=training, with_states=True)
        return self._by_task(hidden, training), states

    def _by_task(self, hidden: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        if self._multi_task is None:
            return dict.fromkeys(self._heads, hidden)
        vectors: dict[str, tf.Tensor] = self._multi_task(hidden, training=training)
        return vectors

    def outputs(self, hidden: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the outputs of each task's head for its hidden vectors [B, width]."""
        outputs: dict[str, tf.Tensor] = {}
        for task, head in self._heads.items():
            first = self._before[task]
            if first is None:
                outputs[task] = head(hidden[task])
            else:
                before = outputs[first]
                if self._before[first] is None:
                    before = self._heads[first].logit(before)[:, tf.newaxis]
                outputs[task] = head(hidden[task], before)
        return outputs


def _build_head(
    job: Job, task: str, width: int, *, from_score: bool, scores: int, seed: int
) -> keras.layers.Layer:
    name, factors = f"head_{task}", job.model.factors(task)
    if len(factors) == 1:
        kind = job.model.tasks[task].head
        return build_head(
            kind, width, from_score=from_score, name=name, seed=seed, scores=scores
        )
    sampled = None
    if job.sampled_label in factors:
        sampled = factors.index(job.sampled_label) + 1
    return EntireSpace(width, sampled_factors=sampled, name=name, seed=seed)


def build_inference_model(
    job: Job,
    *,
    statistics: Statistics | None = None,
    vocabularies: Mapping[str, np.ndarray[Any, Any]] | None = None,
    vocabulary_sizes: Mapping[str, int] | None = None,
    seed: int | None = None,
) -> InferenceModel:
    """Builds the inference model of a job, with fresh weights.

    Args:
        job: the job.
        statistics: of numeric inputs; None if a checkpoint will be restored.
        vocabularies: sorted, distinct int64 fingerprints for each table with a
            vocabulary (`trainer.layers.tables.table_inputs` names tables); None if a
            checkpoint will be restored.
        vocabulary_sizes: instead of `vocabularies`, their lengths.
        seed: of the initial weights; `training.seed` unless given.

    Raises:
        JobError: if the job cannot be built, or a vocabulary is unknown.
    """
    if vocabularies is not None:
        vocabulary_sizes = {name: len(v) for name, v in vocabularies.items()}
    seed = job.training.seed if seed is None else seed
    embedding = FeatureEmbedding(
        job,
        statistics=statistics,
        vocabularies=vocabularies,
        vocabulary_sizes=vocabulary_sizes or {},
        seed=seed,
    )
    return InferenceModel(job, embedding, seed=seed)
