"""Random micro-batches against one batch job over all logs: byte for byte."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from configs.manifest import Manifest
from configs.stream_sets import stream_sets
from preprocessing.check import check_examples
from preprocessing.run import preprocess
from tests.preprocessing.stream.making_streams import (
    START,
    Feed,
    random_arrivals,
    read_all,
    rows_of,
    rows_of_stream,
    stream_job,
    totals,
)

LAST = START + 3 * 86_400_000
"""Nothing but the very last record is as late."""


def check_balance(manifest: Manifest) -> None:
    """Every record that was read or carried in has one fate, or is carried out."""
    found: Counter[str] = Counter()
    for name, count in {**manifest.counters, **manifest.dead_letters}.items():
        log, _, what = name.rpartition(".")
        if not log.startswith(("features", "behaviours", "streams")):
            found[log] += count if what in ("read", "carried_in") else -count
    assert not any(found.values()), found


@pytest.mark.parametrize(
    ("seed", "cuts", "max_records"),
    [
        (3, 3, 10_000),
        pytest.param(5, 1, 40, marks=pytest.mark.slow),
        pytest.param(6, 5, 60, marks=pytest.mark.slow),
    ],
)
def test_micro_batches_together_are_one_run(
    tmp_path: Path, seed: int, cuts: int, max_records: int
) -> None:
    rng = np.random.default_rng(seed)
    job = stream_job(tmp_path, max_records=max_records)
    feed = Feed(tmp_path, random_arrivals(seed))
    made = []
    for number, moment in enumerate(
        sorted(rng.integers(START, START + 3 * 86_400_000, cuts))
    ):
        feed.until(int(moment), part="-1" if number % 2 else "")
        made += read_all(job)
    feed.until(float("inf"))
    made += read_all(job)
    whole = stream_job(tmp_path, f"data.examples={tmp_path}/whole")
    expected = preprocess(whole)
    assert rows_of_stream(job) == rows_of(tmp_path / "whole")
    assert len(made) > cuts and sum(rows_of_stream(job).values()) > 60
    assert sum(any(s.rows for s in m.splits.values()) for m in made) >= min(cuts, 3)
    found, wanted = totals(made), totals([expected])
    for name in wanted:
        if not name.startswith("features."):
            left = name == "impressions.withheld"
            assert found[name] == wanted[name] - left, name
    assert not any(n for name, n in found.items() if name.endswith(".late"))
    assert found["streams.impressions.out_of_order"] > 0
    for manifest in made:
        check_balance(manifest)
    for folder in stream_sets(job.data.examples).values():
        check_examples(str(folder))


def test_sets_are_a_chain(tmp_path: Path) -> None:
    job = stream_job(tmp_path, max_records=60)
    feed = Feed(tmp_path, random_arrivals(7))
    feed.until(START + 86_400_000)
    made = read_all(job)
    assert len(made) >= 2
    for number, (before, after) in enumerate(pairwise(made)):
        assert before.stream is not None and after.stream is not None
        assert before.stream.batch == number
        assert after.continues == before.carry_over
        if before.stream.watermark_ms is not None:
            assert after.stream.watermark_ms is not None
            assert before.stream.watermark_ms <= after.stream.watermark_ms
    assert [path.name for path in stream_sets(job.data.examples).values()] == [
        f"{number:08}" for number in range(len(made))
    ]
