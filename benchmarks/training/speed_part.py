"""The part of the results about speed."""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.training.machine import machine
from benchmarks.training.roofline import multiplication_rates
from benchmarks.training.speed import Group, Pace, measure
from benchmarks.training.speed_report import (
    flatness_table,
    roofline_table,
    speed_tables,
    versions,
)

__all__ = ["speed_part"]

_NEEDS_FILES = ("floor", "floor16")

_METHOD = """## Speed

{machine}

{versions}

DCN V2: 26 categorical and 13 numeric features, batches of 4,096, embeddings of 16,
three full crosses beside an MLP of 400, 400, 400; binary cross-entropy. Dense weights
by Adam; tables by lazy Adam in ours and by Adam in all others (FuxiCTR's trainer also
clips the norm of all gradients, as it always does). The same rows for all, made by
Zipf's law, from files: ours and Keras read TFRecords, FuxiCTR and DeepCTR NumPy arrays,
by loaders of their own or of their documentation. "The step alone" trains on eight
batches made beforehand. Systems take turns of {seconds} s (of two steps at least), in
processes of their own that sleep in between. Figures are medians with 95% intervals;
ratios are of turns in the same round. CPU time is of all threads and processes."""


def speed_part(
    folder: Path,
    names: Sequence[str],
    sizes: Sequence[str],
    *,
    pace: Pace,
    mebibytes: float,
) -> str:
    """Measures everything about speed and returns it as Markdown."""
    described = machine()
    print(described, file=sys.stderr)
    rates = multiplication_rates(
        folder / "matmul", rounds=pace.rounds, seconds=min(1.0, pace.seconds)
    )
    groups: list[Group] = []
    for size in sizes:
        groups += measure(folder, names, size, pace=pace, mebibytes=mebibytes)
    alone = [name for name in names if name not in _NEEDS_FILES]
    groups += measure(
        folder, alone, sizes[0], pace=pace, mebibytes=mebibytes, cached=True
    )
    method = _METHOD.format(
        machine=described, versions=versions(groups), seconds=f"{pace.seconds:g}"
    )
    parts = [method, speed_tables(groups)]
    if len(sizes) > 1:
        parts.append("### CPU time by size\n\n" + flatness_table(groups))
    parts.append(
        "### The limit set by multiplication\n\n" + roofline_table(groups, rates)
    )
    return "\n\n".join(parts)
