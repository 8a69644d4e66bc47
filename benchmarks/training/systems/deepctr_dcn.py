"""DeepCTR: its DCN with matrices for crosses (DCN V2), `fit` on NumPy arrays, as its
examples do. Regularization is off. Of the linear part, which ours lacks, the 13 numbers
stay: without any it cannot be built, and their cost is none."""

import importlib.metadata
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from deepctr.feature_column import DenseFeat, SparseFeat
from deepctr.models import DCN

from benchmarks.training import shape
from benchmarks.training.systems.arguments import CACHED_BATCHES, read_arguments
from benchmarks.training.turns import Turns

VERSIONS = {
    "deepctr": importlib.metadata.version("deepctr"),
    "tensorflow": tf.__version__,
    "keras": importlib.metadata.version(
        "tf_keras" if "tf_keras" in tf.keras.layers.Layer.__module__ else "keras"
    ),
    "python": sys.version.split()[0],
}


class _Pace(tf.keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._turns = Turns(VERSIONS)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._turns.step_done()


def main() -> None:
    """Trains until told to stop."""
    arguments = read_arguments()
    model = _model(arguments.total)
    model.compile(
        tf.keras.optimizers.Adam(learning_rate=shape.LEARNING_RATE),
        loss="binary_crossentropy",
    )
    arrays, labels = _arrays(arguments.folder)
    if not arguments.cached:
        model.fit(
            *(arrays, labels),
            batch_size=shape.BATCH,
            epochs=1_000_000,
            callbacks=[_Pace()],
            verbose=0,
        )
        return
    pace = _Pace()
    for batch in itertools.cycle(range(CACHED_BATCHES)):
        rows = slice(batch * shape.BATCH, (batch + 1) * shape.BATCH)
        taken = {name: values[rows] for name, values in arrays.items()}
        model.train_on_batch(taken, labels[rows])
        pace.on_train_batch_end(batch)


def _model(total: int) -> Any:
    categorical, numeric = shape.names()
    columns = [
        SparseFeat(name, vocabulary_size=rows, embedding_dim=shape.DIM)
        for name, rows in zip(categorical, shape.table_sizes(total), strict=True)
    ]
    numbers = [DenseFeat(name, 1) for name in numeric]
    return DCN(
        numbers,
        [*columns, *numbers],
        cross_num=shape.CROSSES,
        cross_parameterization="matrix",
        dnn_hidden_units=shape.HIDDEN,
        l2_reg_linear=0,
        l2_reg_embedding=0,
        l2_reg_cross=0,
    )


def _arrays(folder: Path) -> tuple[dict[str, Any], Any]:
    arrays = dict(np.load(folder / "rows.npz"))
    labels = arrays.pop("label")
    return arrays, labels


if __name__ == "__main__":
    main()
