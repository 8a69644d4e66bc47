"""A full training step of DCN V2 with Combined-Pair against one with BCE, in turns."""

import itertools
import statistics
import time
from pathlib import Path

from benchmarks.training import shape
from benchmarks.training.rows import example_job, write_rows
from configs.manifest import read_statistics
from trainer.assembly import assemble
from trainer.base_rates import base_rates
from trainer.inputs.files import ExampleFiles
from trainer.step import TrainingStep

__all__ = ["compare_steps"]

TOTAL = 1_000_000
BATCHES = 8
WARM_UP = 4


def compare_steps(folder: Path, pairs: int) -> str:
    """Returns a sentence: medians over `pairs` pairs of steps, and their ratio."""
    write_rows(folder, TOTAL, batches=BATCHES)
    steps, shares = {}, []
    for loss in ("bce", "combined_pair"):
        job = example_job(folder, TOTAL, f"model.tasks.click.losses=[{{name: {loss}}}]")
        source = ExampleFiles(
            job.data.examples, "train", job, batch_size=shape.BATCH, seed=1
        )
        steps[loss] = assemble(
            job,
            statistics=read_statistics(Path(job.data.examples)),
            vocabularies={},
            base_rates=base_rates(job, source.split),
            element_spec=source.element_spec,
        ).step
        shares = list(itertools.islice(source.batches(), BATCHES))
    batches = itertools.cycle(shares)
    times: dict[str, list[float]] = {loss: [] for loss in steps}
    for turn in range(pairs + WARM_UP):
        batch = next(batches)
        # Each goes first in every other pair.
        for loss in list(steps)[:: 1 if turn % 2 else -1]:
            times[loss].append(_seconds(steps[loss], batch))
    bce, ours = (times[loss][WARM_UP:] for loss in ("bce", "combined_pair"))
    ratios = [b / a for a, b in zip(bce, ours, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return (
        f"A step of DCN V2 on {shape.BATCH:,} rows: {1e3 * statistics.median(bce):.1f}"
        f" ms with BCE, {1e3 * statistics.median(ours):.1f} ms with Combined-Pair;"
        f" median ratio of {pairs} interleaved pairs {middle:.3f}"
        f" (quartiles {low:.3f} to {high:.3f})."
    )


def _seconds(step: TrainingStep, shares: object) -> float:
    started = time.perf_counter()
    step(shares)  # type: ignore[arg-type]
    step.sums()
    return time.perf_counter() - started
