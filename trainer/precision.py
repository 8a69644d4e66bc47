"""Mixed precision: the backbone computes in bfloat16, in training alone.

Weights are float32 and are rounded where they are used; activations inside the
backbone are bfloat16; what leaves it is float32 again, and so are the tables, heads,
losses and metrics. The layers themselves keep their float32 policy, so that whoever
else calls them (evaluation, export) computes in float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

__all__ = ["computing_in"]

_POLICIES = {"bfloat16": "mixed_bfloat16"}


@contextmanager
def computing_in(precision: str, *layers: keras.layers.Layer) -> Iterator[None]:
    """Inside the context `layers` and all layers in them compute in another precision.

    It acts where operations are made: while a `tf.function` is traced, that is, and
    not when it runs. Nothing in the context may wait for another replica, since the
    replicas trace their parts in turns.

    Args:
        precision: "float32" changes nothing.
        layers: built; their weights stay as they are.
    """
    if precision == "float32":
        yield
        return
    parts = [part for layer in layers for part in layer._flatten_layers()]
    before = [part.dtype_policy for part in parts]
    for part in parts:
        part.dtype_policy = _POLICIES[precision]
    try:
        yield
    finally:
        for part, policy in zip(parts, before, strict=True):
            part.dtype_policy = policy
