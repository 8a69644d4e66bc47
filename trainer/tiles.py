"""Loops over tiles of rows, so that memory does not grow with the rows.

They work inside and outside of `tf.function`. No gradient flows through them: they are
for the inside of custom gradients.
"""

from collections.abc import Callable

import tensorflow as tf

__all__ = ["concat_tiles", "no_parts", "sum_tiles", "tiles_of"]

Stops = Callable[[tf.Tensor], tf.Tensor]


def tiles_of(size: tf.Tensor | int, count: tf.Tensor) -> Stops:
    """Returns the function that ends each tile after `size` rows, or at `count`."""
    return lambda start: tf.minimum(start + size, count)


def no_parts(dtype: tf.DType, shape: tuple[int | None, ...]) -> tf.TensorArray:
    """Returns a list for the results of tiles, which differ in their rows.

    Args:
        dtype: of the results.
        shape: of a row's result.
    """
    return tf.TensorArray(
        dtype,
        size=0,
        dynamic_size=True,
        infer_shape=False,
        element_shape=[None, *shape],
    )


def concat_tiles(
    function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    *,
    count: tf.Tensor,
    stops: Stops,
    shape: tuple[int, ...] = (),
) -> tf.Tensor:
    """Concatenates what a function gives for each tile.

    Args:
        function: called as function(start, stop); returns float64
            [stop - start, *shape].
        count: number of rows, int32.
        stops: gives the end of the tile that begins at a row.
        shape: of a row's result.

    Returns:
        float64 [count, *shape].
    """

    def step(
        tile: tf.Tensor, start: tf.Tensor, parts: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        stop = stops(start)
        return tile + 1, stop, parts.write(tile, function(start, stop))

    _, _, parts = tf.while_loop(
        # At least one tile, for an empty list of tiles has no type.
        lambda tile, start, parts: (start < count) | (tile == 0),
        step,
        (0, 0, no_parts(tf.float64, shape)),
        parallel_iterations=1,
    )
    return tf.reshape(parts.concat(), tf.stack([count, *shape]))


def sum_tiles(
    function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    total: tf.Tensor,
    *,
    count: tf.Tensor,
    stops: Stops,
) -> tf.Tensor:
    """Adds what `function(start, stop)` gives for each tile to `total`."""

    def step(start: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        stop = stops(start)
        return stop, total + function(start, stop)

    return tf.while_loop(
        lambda start, total: start < count, step, (0, total), parallel_iterations=1
    )[1]
