"""What auxiliary tasks add to a training step, measured in turns.

All variants of a backbone are built side by side and make a few steps each, round after
round: what else the machine does meets all of them alike, and the ratio of two variants
is taken inside a round.
"""

import itertools
import time
from collections.abc import Mapping
from pathlib import Path

import keras

from benchmarks.quality.losses.rows import Split
from benchmarks.quality.losses.trial import assemble_fresh
from benchmarks.quality.models.store import Report
from configs.job import Job

__all__ = ["ROUNDS", "time_in_turns"]

ROUNDS = 12
_STEPS = 5
"""Steps of a variant in a round."""


def time_in_turns(
    jobs: Mapping[str, Job], examples: Path, training: Split, *, rounds: int = ROUNDS
) -> Report:
    """Returns `seconds_per_step`, for each variant one value a round, and `steps` of an
    epoch. The order of the variants turns from round to round; before the first round
    each has made a step, which compiles.

    Args:
        jobs: of the variants, by name; they have one batch size.
        examples: example set.
        training: its training rows.
        rounds: number of rounds.
    """
    keras.backend.clear_session()
    assemblies = {name: assemble_fresh(job, examples) for name, job in jobs.items()}
    size = next(iter(jobs.values())).training.batch_size
    batches = list(itertools.islice(training.batches(size, seed=0), _STEPS))
    for assembly in assemblies.values():
        assembly.step((batches[0],))
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    names = list(jobs)
    for turn in range(rounds):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            started = time.perf_counter()
            for batch in batches:
                assemblies[name].step((batch,))
            seconds[name].append((time.perf_counter() - started) / len(batches))
    return {"seconds_per_step": seconds, "epoch_steps": -(-training.rows // size)}
