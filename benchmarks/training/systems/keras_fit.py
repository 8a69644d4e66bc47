"""Plain Keras: 26 `Embedding` layers, Adam, `fit` on a `tf.data` pipeline of the same
TFRecords, written as its guides do."""

import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from benchmarks.training import shape
from benchmarks.training.systems.arguments import CACHED_BATCHES, read_arguments
from benchmarks.training.turns import Turns

VERSIONS = {
    "tensorflow": tf.__version__,
    "keras": keras.__version__,
    "python": sys.version.split()[0],
}


class _Pace(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._turns = Turns(VERSIONS)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._turns.step_done()


def main() -> None:
    """Trains until told to stop."""
    arguments = read_arguments()
    if arguments.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = _model(arguments.total)
    model.compile(
        keras.optimizers.Adam(shape.LEARNING_RATE),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    rows = _rows(arguments.folder, cached=arguments.cached)
    model.fit(rows, steps_per_epoch=1_000_000, callbacks=[_Pace()], verbose=0)


def _model(total: int) -> keras.Model:
    ids = keras.Input((shape.CATEGORICAL,), dtype="int32", name="categorical")
    numbers = keras.Input((shape.NUMERIC,), name="numeric")
    start = keras.initializers.RandomNormal(stddev=0.01)
    vectors = [
        layers.Embedding(rows, shape.DIM, embeddings_initializer=start)(ids[:, k])
        for k, rows in enumerate(shape.table_sizes(total))
    ]
    inputs = layers.Concatenate()([*vectors, numbers])
    crossed = inputs
    for _ in range(shape.CROSSES):
        crossed = inputs * layers.Dense(shape.WIDTH)(crossed) + crossed
    hidden = inputs
    for width in shape.HIDDEN:
        hidden = layers.Dense(width, activation="relu")(hidden)
    both = layers.Concatenate()([crossed, hidden])
    logit = layers.Dense(1, dtype="float32")(both)
    return keras.Model({"categorical": ids, "numeric": numbers}, logit)


def _rows(folder: Path, *, cached: bool) -> tf.data.Dataset:
    # Without the copies that keep the end of an epoch out of our own runs.
    files = sorted(map(str, (folder / "examples/train").glob("0*.tfrecord")))
    rows = tf.data.TFRecordDataset(files).batch(shape.BATCH, drop_remainder=True)
    rows = rows.map(_parse, num_parallel_calls=1)
    if cached:
        rows = rows.take(CACHED_BATCHES).cache()
    return rows.repeat().prefetch(2)


def _parse(serialized: tf.Tensor) -> Any:
    parsed = tf.io.parse_example(
        serialized,
        {
            "categorical": tf.io.FixedLenFeature([shape.CATEGORICAL], tf.int64),
            "numeric": tf.io.FixedLenFeature([shape.NUMERIC], tf.float32),
            "labels": tf.io.FixedLenFeature([1], tf.float32),
        },
    )
    ids = tf.cast(parsed["categorical"], tf.int32)
    return {"categorical": ids, "numeric": parsed["numeric"]}, parsed["labels"]


if __name__ == "__main__":
    main()
