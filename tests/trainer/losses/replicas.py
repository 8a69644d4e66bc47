"""Losses and auxiliary tasks of one batch over replicas, run as a program.

    python -m tests.trainer.losses.replicas OUTPUT [DEVICES]

computes every case on so many logical devices, or, without `DEVICES`, as the worker
that TF_CONFIG tells of; and saves by name the replica's shares and its gradients.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from configs.job import Job
from configs.layout import layout_of
from tests.trainer.model_jobs import (
    even_job,
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from trainer.cluster import ALONE, cluster_from
from trainer.collectives import gather_all
from trainer.devices import prepare_devices
from trainer.heads import build_head
from trainer.inference import build_inference_model
from trainer.task_losses import TaskLosses
from trainer.training_model import TrainingModel

ROWS = 19
CUTS = {1: [0, 19], 2: [0, 12, 19], 3: [0, 8, 8, 19]}
"""Where the shares begin: of different lengths, and one of three is empty."""
WIDTH = 4
HEAD = "two_logits"
BACKBONE = "{name: dcn_v2, hidden: [6], cross_layers: 1}"
AUXILIARY = (
    "{name: uim}",
    "{name: nip, max_negatives: 3}",
    "{name: dmr, negatives: 5, weight: 1.0, targets: shared}",
    "{name: deepmcp_matching, hidden: [5]}",
    "{name: deepmcp_correlation, hidden: [5], weight: 1.0}",
    "{name: cl4ctr_contrastive, layers: 1, feed_forward: 6}",
    "{name: cl4ctr_alignment, weight: 1.0}",
    "{name: cl4ctr_uniformity, weight: 1.0}",
)
MODEL = (
    f"model.auxiliary=[{', '.join(AUXILIARY)}]",
    "model.tasks={click: {}, conversion: {given: click, losses: [{name: focal}]}}",
)

Values = dict[str, tf.Tensor]
Batch = Mapping[str, tf.Tensor]


def losses_job() -> Job:
    """Every loss: inside contexts, rows weighing; and where `given` leaves few rows.

    Ranking terms stand alone but for one of a task, as jobs demand.
    """
    alone = ("combined_list", "rcr", "jrc", "combined_contrastive")

    def sections(context: str, *others: str) -> str:
        options = f"alpha: 0, context: {context}"
        return ", ".join([*others, *(f"{{name: {n}, {options}}}" for n in alone)])

    inside = sections(
        "user",
        "{name: pwiser, conversion: conversion, context: user}",
        "{name: ranknet, context: user}",
        "{name: focal_balanced}",
    )
    whole = sections(
        "batch", "{name: combined_pair, alpha: 0.5}", "{name: focal_balanced}"
    )
    return small_job(
        "preprocessing.sampling.negative_keep_rate=0.1",
        "model.tasks={"
        f"click: {{head: {HEAD}, correction: weights, losses: [{inside}]}},"
        f"conversion: {{head: {HEAD}, given: click, losses: [{whole}]}}}}",
    )


def losses_batch(job: Job) -> dict[str, Any]:
    """Keep rates differ; each user has rows in every share, that is not empty."""
    random = np.random.default_rng(5)
    batch = {k: v.numpy() for k, v in random_batch(job, ROWS).items()}
    rates = random.choice(np.array([0.1, 0.5, 1.0], np.float32), ROWS)
    batch["ids"][:, layout_of(job).ids.index("user")] = 2**60 + np.arange(ROWS) % 3
    outputs = {task: random.normal(size=(ROWS, 2)) for task in job.model.tasks}
    hidden = {f"{task}/hidden": random.normal(size=(ROWS, WIDTH)) for task in outputs}
    both = {k: v.astype(np.float32) for k, v in {**outputs, **hidden}.items()}
    return {**batch, **both, "negative_keep_rate": rates}


def task_values(
    name: str, job: Job, head: keras.layers.Layer, batch: Batch
) -> dict[str, Values]:
    """Shares of all losses of a task, and the gradients of their sum by own rows."""
    outputs, hidden = batch[name], batch[f"{name}/hidden"]
    with tf.GradientTape() as tape:
        tape.watch([outputs, hidden])
        losses, others = TaskLosses(job, name, head)(outputs, hidden, batch)
        # One backward pass: a gradient for each loss would take minutes to trace.
        total = tf.add_n(list(losses.values()))
    logits, hidden = tape.gradient(total, [outputs, hidden])
    return {name: {**losses, **others, "by logits": logits, "by hidden": hidden}}


def model_values(model: TrainingModel, batch: Batch) -> dict[str, Values]:
    """Shares of the losses of a model, and the gradients of their sum."""
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        losses = model.compute_losses(batch)
    zero = tf.UnconnectedGradients.ZERO
    gradients = tape.gradient(
        losses["loss"], [v.value for v in variables], unconnected_gradients=zero
    )
    slopes = {
        f"slope {v.path}": tf.convert_to_tensor(g)
        for v, g in zip(variables, gradients, strict=True)
    }
    return {"model": {**losses, **slopes}}


def repeated_batch(job: Job) -> dict[str, Any]:
    """A batch in which histories, users and items come twice, over any two shares."""
    batch = {k: v.numpy() for k, v in random_batch(job, ROWS).items()}
    rows = np.arange(ROWS)
    rows[[9, 13, 17]] = 2, 3, 16
    same = {k: v[rows] for k, v in batch.items() if k.startswith("sequence/")}
    batch["ids"][14] = batch["ids"][1]
    return {**batch, **same}


def results_of(
    strategy: tf.distribute.Strategy,
    compute: Callable[[Batch], dict[str, Values]],
    batch: Mapping[str, Any],
) -> dict[str, Any]:
    """Runs `compute` on the shares of `batch`: by name, kind and replica."""
    cuts = CUTS[strategy.num_replicas_in_sync]

    def on_replica(batch: Batch) -> dict[str, Values]:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        start, stop = (tf.gather(cuts, replica + k) for k in (0, 1))
        return compute({k: v[start:stop] for k, v in batch.items()})

    # Arguments and not constants, which TensorFlow would try to compute with.
    run = tf.function(
        lambda batch: strategy.run(on_replica, args=(batch,)), autograph=False
    )
    tensors = {k: tf.convert_to_tensor(v) for k, v in batch.items()}
    return {
        f"{name}|{kind}|{k}": share.numpy()
        for name, values in run(tensors).items()
        for kind, value in values.items()
        for k, share in enumerate(strategy.experimental_local_results(value))
    }


def main(output: str, devices: int) -> None:
    """Saves the results of the replicas of this process."""
    # It takes longer than the small graphs themselves.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    chosen = {0: "multi_worker", 1: "single"}.get(devices, "mirrored")
    count = devices if chosen == "mirrored" else 0
    job = even_job(
        BACKBONE,
        WIDTH,
        *MODEL,
        f"training.strategy={chosen}",
        f"training.logical_devices={count}",
    )
    cluster = cluster_from() if chosen == "multi_worker" else ALONE
    strategy = prepare_devices(job.training, cluster)
    saved: dict[str, Any] = {}
    with strategy.scope():
        inference = build_inference_model(
            job, statistics=statistics(), vocabularies=vocabularies()
        )
        model = TrainingModel(inference, job)
        every = losses_job()
        head = build_head(HEAD, WIDTH, from_score=False, name="head", seed=1)
    saved |= results_of(
        strategy, lambda batch: model_values(model, batch), repeated_batch(job)
    )
    batch = losses_batch(every)
    for task in every.model.tasks:
        # Another training in the same process: nothing may remain of the first.
        strategy = prepare_devices(job.training, cluster)
        saved |= results_of(
            strategy,
            partial(task_values, task, every, head),
            batch,
        )
    saved |= results_of(
        strategy,
        lambda batch: {"rows": {"gathered": gather_all([batch["rows"]])[0][0]}},
        {"rows": np.arange(ROWS)},
    )
    np.savez(output, **{k.replace("/", ":"): v for k, v in saved.items()})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
