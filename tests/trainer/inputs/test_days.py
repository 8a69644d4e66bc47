"""Example sets of several days, read as one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs import DataError, Job, JobError
from configs.manifest import read_manifest
from tests.trainer.example_sets import random_rows, small_job, write_example_set
from trainer.inputs.example_set import open_manifest, read_all_statistics
from trainer.inputs.files import ExampleFiles
from trainer.vocabularies import make_vocabularies

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


def write_days(folder: Path) -> Job:
    """Writes a set for each day, chained, and one of all rows beside them."""
    every = []
    for number, day in enumerate(DAYS):
        job = small_job(folder, f"data.examples={folder}/examples/{day}")
        rows = random_rows(job, 30 + number, seed=number)
        every += rows
        validation = [random_rows(job, 10, seed=10 + number)]
        path = write_example_set(job, {"train": [rows], "validation": validation})
        before = f"digest {number - 1}" if number else None
        chain = {"day": day, "carry_over": f"digest {number}", "continues": before}
        change(path, **chain)
    whole = small_job(folder, f"data.examples={folder}/whole")
    write_example_set(whole, {"train": [every]})
    return small_job(folder)


def change(folder: Path, **changes: Any) -> None:
    """Changes entries of a manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def ids_of(job: Job, split: str = "train", **options: Any) -> list[int]:
    source = ExampleFiles(job.data.examples, split, job, batch_size=7, **options)
    return [int(i) for (part,) in source.batches() for i in part["ids"][:, 0].numpy()]


def test_days_are_read_like_one_set(tmp_path: Path) -> None:
    job = write_days(tmp_path)
    whole = small_job(tmp_path, f"data.examples={tmp_path}/whole")
    assert ids_of(job) == ids_of(whole)
    shuffled = ids_of(job, seed=3, block=16)
    assert sorted(shuffled) == sorted(ids_of(whole)) and shuffled != ids_of(whole)
    merged, one = open_manifest(job.data.examples), open_manifest(whole.data.examples)
    train = merged.splits["train"]
    assert (train.rows, train.positives) == (93, one.splits["train"].positives)
    assert merged.splits["validation"].rows == 30
    found = read_all_statistics(job.data.examples).numeric["price"]
    expected = read_all_statistics(whole.data.examples).numeric["price"]
    for name in ("weight", "missing_weight", "mean", "stddev", "minimum", "maximum"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))
    words, same = (make_vocabularies(j, j.data.examples) for j in (job, whole))
    assert words.keys() == same.keys() and words
    for name, values in words.items():
        np.testing.assert_array_equal(values, same[name])


def test_some_of_the_days(tmp_path: Path) -> None:
    job = write_days(tmp_path)
    some = small_job(tmp_path, "data.days=2026-01-02..2026-01-03")
    assert ids_of(some) == ids_of(job)[30:]
    last = small_job(tmp_path, f"data.examples={tmp_path}/examples/2026-01-03")
    assert ids_of(last) == ids_of(job)[61:]
    with pytest.raises(DataError, match="no example set of 2026-01-04"):
        ids_of(small_job(tmp_path, "data.days=2026-01-03..2026-01-04"))
    with pytest.raises(JobError, match="no range of days"):
        small_job(tmp_path, "data.days=2026-01-03..2026-01-02")


def test_days_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    job = write_days(tmp_path)
    folder = tmp_path / "examples" / DAYS[1]
    change(folder, continues="another")
    with pytest.raises(DataError, match="2026-01-02 does not go on where 2026-01-01"):
        ids_of(job)
    change(folder, continues="digest 0", adjacent="session")
    with pytest.raises(DataError, match="made with different jobs"):
        ids_of(job)
    change(folder, adjacent=None)
    assert read_manifest(folder).day == DAYS[1]
    assert len(ids_of(job)) == 93
