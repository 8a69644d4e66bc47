"""How near a user's behaviours are to the item: cosines of their embeddings."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.quality.losses.rows import Split
from benchmarks.quality.models.store import Report
from configs.layout import LABELS
from trainer.inference import InferenceModel
from trainer.inputs.examples import Batch
from trainer.layers.groups import EmbeddedGroups, GroupsLayout, mean_pool

__all__ = ["BINS", "cosine_report", "cosines"]

BINS = np.linspace(-1.0, 1.0, 41)
"""Edges of the histograms' bins."""

_AT_ONCE = 8_192
_MOST = 30_000
_SMALLEST = 1e-12


def cosine_report(model: InferenceModel, split: Split) -> Report:
    """Returns mean cosine, histogram and number of rows, of clicked rows and of those
    not clicked, as many as there are clicked ones, from the beginning of the split.
    Rows without behaviours are left out."""
    clicked = split.columns[LABELS][:, 0] > 0.5
    count = min(int(clicked.sum()), _MOST)
    report = {}
    for name, chosen in (("clicked", clicked), ("not_clicked", ~clicked)):
        rows = np.flatnonzero(chosen)[:count]
        values = cosines(model, Split({k: v[rows] for k, v in split.columns.items()}))
        values = values[~np.isnan(values)]
        report[name] = {
            "rows": len(values),
            "mean": float(values.mean()),
            "histogram": np.histogram(values, BINS)[0].tolist(),
        }
    return report


def cosines(model: InferenceModel, split: Split) -> NDArray[np.float32]:
    """Returns the cosine between the mean of the behaviours' embeddings and that of the
    item, in the fields that share a table with an item feature: float32 [rows], NaN
    without behaviours."""
    layout = model.embedding.layout

    def run(batch: Batch) -> tf.Tensor:
        return _cosine(model.embed(batch), layout)

    compiled = tf.function(run, reduce_retracing=True, autograph=False)
    parts = [compiled(batch).numpy() for batch in split.batches(_AT_ONCE)]
    return np.concatenate(parts)


def _cosine(groups: EmbeddedGroups, layout: GroupsLayout) -> tf.Tensor:
    behaviours: list[Any] = []
    items: list[Any] = []
    none = False
    for name, sequence in groups.sequences.items():
        none |= tf.logical_not(tf.reduce_any(sequence.mask, axis=1))
        for field, feature in layout.sequences[name].item_fields.items():
            span = layout.spans[feature]
            behaviours.append(mean_pool(sequence.fields[field], sequence.mask))
            items.append(groups.embeddings[span.group][:, span.start : span.stop])
    pooled, item = tf.concat(behaviours, axis=1), tf.concat(items, axis=1)
    norms = tf.norm(pooled, axis=1) * tf.norm(item, axis=1)
    cosine = tf.reduce_sum(pooled * item, axis=1) / tf.maximum(norms, _SMALLEST)
    return tf.where(none, tf.fill(tf.shape(cosine), np.float32("nan")), cosine)
