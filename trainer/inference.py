"""The model that is served: features in, one true logit for each task out.

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
from trainer.heads import build_head
from trainer.layers.features import FeatureEmbedding
from trainer.layers.groups import EmbeddedGroups
from trainer.layers.tables import FusedTables

__all__ = ["InferenceModel", "build_inference_model"]


class InferenceModel(keras.Model):  # type: ignore[misc]
    """Embeds, runs the backbone, and applies a head for each task.

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
        self._heads = {
            task: build_head(
                section.head,
                self._backbone.width,
                from_score=score,
                name=f"head_{task}",
                seed=seed,
            )
            for task, section in job.model.tasks.items()
        }
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
            The true logits by task, float32 [B]: no shift is in them.
        """
        outputs = self.outputs(self.hidden(self.embed(features), training=training))
        return {task: self._heads[task].logit(x) for task, x in outputs.items()}

    def embed(self, features: Mapping[str, tf.Tensor]) -> EmbeddedGroups:
        """Embeds encoded features; other keys are ignored."""
        groups: EmbeddedGroups = self._embedding(dict(features))
        return groups

    def hidden(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns the last hidden vectors [B, width], from which all heads predict."""
        return self._backbone(groups, training=training)

    def outputs(self, hidden: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the outputs of each task's head for hidden vectors [B, width]."""
        return {task: head(hidden) for task, head in self._heads.items()}


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
