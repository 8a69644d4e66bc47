"""The rate of TensorFlow's matrix multiplication (oneDNN) at the shape of a cross."""

import tensorflow as tf

from benchmarks.training import shape
from benchmarks.training.systems.arguments import read_arguments
from benchmarks.training.turns import Turns


def main() -> None:
    """Multiplies until told to stop; a "step" is one multiplication."""
    dtype = tf.as_dtype(read_arguments().precision)
    left = tf.cast(tf.random.normal((shape.BATCH, shape.WIDTH)), dtype)
    right = tf.cast(tf.random.normal((shape.WIDTH, shape.WIDTH)), dtype)
    multiply = tf.function(tf.matmul)
    turns = Turns({"tensorflow": tf.__version__})
    while True:
        multiply(left, right)
        turns.step_done()


if __name__ == "__main__":
    main()
