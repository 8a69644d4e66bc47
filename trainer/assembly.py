"""Puts model, optimizers and step together, and names all that a checkpoint holds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from configs.job import Job
from configs.layout import layout_of
from configs.manifest import Statistics
from trainer.checkpoint import Variables
from trainer.inference import InferenceModel, build_inference_model
from trainer.optimizers.dense import dense_optimizer
from trainer.optimizers.registry import sparse_optimizer
from trainer.optimizers.sparse import SparseOptimizer
from trainer.run import INFERENCE_PREFIX
from trainer.step import TrainingStep
from trainer.training_model import TrainingModel
from trainer.variables import named_variables, one_row
from trainer.vocabularies import Vocabularies

__all__ = ["Assembly", "assemble"]


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """All that has variables.

    Attributes:
        inference: the part of the model that is served.
        model: inference model, losses and auxiliary tasks; its `optimizer` is `dense`.
        dense: optimizer of everything but the tables.
        tables: optimizer of the tables.
        step: trains on a batch.
        variables: all of the above by the names that they have in checkpoints.
    """

    inference: InferenceModel
    model: TrainingModel
    dense: keras.optimizers.Optimizer
    tables: SparseOptimizer
    step: TrainingStep
    variables: Variables


def assemble(
    job: Job,
    *,
    statistics: Statistics,
    vocabularies: Vocabularies,
    base_rates: Mapping[str, float],
    element_spec: tuple[dict[str, tf.TensorSpec], ...],
) -> Assembly:
    """Builds everything with fresh weights. Called under the strategy's scope.

    Heads start at the base rates: of a rare label thousands of steps would go into
    nothing but the bias.
    """
    inference = build_inference_model(
        job, statistics=statistics, vocabularies=vocabularies
    )
    for task, rate in base_rates.items():
        inference.heads[task].start_at(math.log(rate / (1.0 - rate)))
    model = TrainingModel(inference, job)
    # Layers may make variables when they are first called.
    model.compute_losses(one_row(layout_of(job)), training=False)
    options = job.training.optimizer
    dense = dense_optimizer(options.dense, model.dense_variables)
    tables = sparse_optimizer(options.embeddings)
    tables.build(model.table_variables)
    model.optimizer = dense
    step = TrainingStep(
        model,
        dense=dense,
        tables=tables,
        clip_norm=options.dense.clip_norm,
        max_bad_steps=job.training.max_bad_steps,
        steps_per_call=job.training.steps_per_call,
        element_spec=element_spec,
    )
    return Assembly(
        inference=inference,
        model=model,
        dense=dense,
        tables=tables,
        step=step,
        variables=_names(inference, model, dense, tables, step),
    )


def _names(
    inference: InferenceModel,
    model: TrainingModel,
    dense: keras.optimizers.Optimizer,
    tables: SparseOptimizer,
    step: TrainingStep,
) -> Variables:
    names: dict[str, Any] = {
        INFERENCE_PREFIX + name: v for name, v in named_variables(inference).items()
    }
    served = {id(v) for v in names.values()}
    for name, variable in named_variables(model).items():
        if id(variable) not in served:
            names[f"training/{name}"] = variable
    by_id = {id(v): name for name, v in names.items()}
    for name, slot in _dense_slots(dense, model, by_id).items():
        names[f"optimizer/dense/{name}"] = slot
    table_names = [by_id[id(v)] for v in model.table_variables]
    for name, table_slot in tables.variables(table_names).items():
        names[f"optimizer/tables/{name}"] = table_slot
    names["steps/skipped"] = step.skipped
    names["steps/skipped_in_a_row"] = step.skipped_in_a_row
    return names


def _dense_slots(
    optimizer: keras.optimizers.Optimizer,
    model: TrainingModel,
    names: dict[int, str],
) -> dict[str, keras.Variable]:
    """Names a Keras optimizer's slots by kind and by the weight that they belong to."""
    weights = [names[id(v)] for v in model.dense_variables]
    slots: dict[str, keras.Variable] = {}
    for attribute, values in vars(optimizer).items():
        if attribute == "_trainable_variables" or not isinstance(values, list):
            continue
        known = {id(v) for v in optimizer.variables}
        if len(values) == len(weights) and all(id(v) in known for v in values):
            kind = attribute.strip("_")
            slots |= {
                f"{kind}/{name}": value
                for name, value in zip(weights, values, strict=True)
            }
    named = {id(v) for v in slots.values()}
    for variable in optimizer.variables:
        if id(variable) not in named:
            slots[variable.name] = variable
    if len(slots) != len(optimizer.variables):
        raise RuntimeError(f"two variables of {optimizer.name} share a name")
    return slots
