"""The model and the data that all systems train on; imports nothing but Python."""

import itertools

__all__ = [
    "BATCH",
    "CATEGORICAL",
    "CROSSES",
    "DIM",
    "HIDDEN",
    "LEARNING_RATE",
    "NUMERIC",
    "SIZES",
    "WIDTH",
    "flops_per_step",
    "names",
    "table_sizes",
]

BATCH = 4096
DIM = 16
CATEGORICAL = 26
NUMERIC = 13
CROSSES = 3
HIDDEN = (400, 400, 400)
LEARNING_RATE = 1e-3
WIDTH = CATEGORICAL * DIM + NUMERIC
"""Inputs of the crosses and of the MLP."""
SIZES = {"1M": 1_000_000, "4M": 4_000_000, "16M": 16_000_000}
"""Rows of all tables together."""

_SMALLEST = 5
_GROWTH = 1.5643345367


def names() -> tuple[list[str], list[str]]:
    """Returns the names of the categorical and of the numeric features."""
    return (
        [f"C{k}" for k in range(1, CATEGORICAL + 1)],
        [f"I{k}" for k in range(1, NUMERIC + 1)],
    )


def table_sizes(total: int) -> list[int]:
    """Returns the rows of the 26 tables: a geometric series, 5 to 360,754 for a total
    of one million, and multiples of it for larger totals."""
    sizes = [round(_SMALLEST * _GROWTH**k) for k in range(CATEGORICAL)]
    sizes[-1] += 1_000_000 - sum(sizes)
    factor, rest = divmod(total, 1_000_000)
    if rest:
        raise ValueError(f"expected a multiple of a million, got {total:,}")
    return [size * factor for size in sizes]


def flops_per_step() -> int:
    """Returns the floating-point operations of the matrix multiplications of a step.

    Forward 2 * B * inputs * outputs for each layer; backward twice that, for the
    gradients of weights and of inputs, which all layers need (the embeddings are below
    them). Everything else (bias, activation, gather, optimizer) is left out: it moves
    memory, and does less than 1% of the operations.
    """
    layers = [(WIDTH, WIDTH)] * CROSSES
    widths = (WIDTH, *HIDDEN)
    layers += list(itertools.pairwise(widths))
    layers.append((WIDTH + HIDDEN[-1], 1))
    return 3 * sum(2 * BATCH * inputs * outputs for inputs, outputs in layers)
