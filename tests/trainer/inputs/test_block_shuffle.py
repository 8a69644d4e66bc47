"""The shuffle: a permutation of every epoch that no resuming can change."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import DataError
from configs.manifest import Shard
from tests.oracles.block_shuffle import epoch_order, order_by_context
from tests.trainer.example_sets import random_rows, small_job, write_example_set
from trainer.inputs.blocks import groups_of, locate
from trainer.inputs.files import ExampleFiles, Position

SIZES = [40, 1, 29, 3, 17, 5, 8, 2, 30, 11]
"""Ten shards: two groups of shards that are read side by side."""

USERS = [user for user in range(99) for _ in range(1 + user * 7 % 9)][: sum(SIZES)]
"""The user of each row: runs of one to nine rows."""

PAIRS = "model.tasks.click.losses=[{name: ranknet, context: user}]"


def sets_of(folder, *overrides, users=None):
    """A set of 146 rows in ten shards; with `users`, runs of the same user."""
    job = small_job(folder, *overrides)
    rows = random_rows(job, sum(SIZES), seed=1)
    for row, user in zip(rows, users or [], strict=users is not None):
        row["ids"][1] = user
    ends = list(itertools.accumulate(SIZES))
    shards = [rows[end - n : end] for n, end in zip(SIZES, ends, strict=True)]
    write_example_set(job, {"train": shards})
    return job


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return sets_of(tmp_path_factory.mktemp("shuffle"))


@pytest.fixture(scope="module")
def by_user(tmp_path_factory):
    return sets_of(tmp_path_factory.mktemp("by_user"), PAIRS, users=USERS)


def source(job, **options):
    options = {"batch_size": 16, "seed": 7, "block": 32, **options}
    return ExampleFiles(job.data.examples, "train", job, **options)


def batches(files, epoch=0, row=0, column=0):
    return [
        [int(i) for part in parts for i in part["ids"][:, column].numpy()]
        for parts in files.batches(Position(epoch=epoch, row=row))
    ]


def flat(lists):
    return [value for one in lists for value in one]


def shards_in_order(files, epoch):
    ends = dict(
        zip((s.path for s in files.split.shards), np.cumsum(SIZES), strict=True)
    )
    return [
        [1000 + int(ends[s.path]) - s.rows + k for k in range(s.rows)]
        for s in files.shards_of(epoch)
    ]


@pytest.mark.parametrize(("block", "epoch"), [(1, 0), (5, 3), (32, 0), (4096, 3)])
def test_an_epoch_is_a_permutation_and_known_to_the_oracle(job, block, epoch):
    files = source(job, block=block)
    order = flat(batches(files, epoch))
    assert sorted(order) == list(range(1000, 1000 + sum(SIZES)))
    assert order == epoch_order(shards_in_order(files, epoch), block, 7, epoch)


def test_epochs_and_seeds_differ(job):
    orders = [
        tuple(flat(batches(source(job, seed=seed), epoch)))
        for seed in (7, 8)
        for epoch in (0, 1)
    ]
    assert len(set(orders)) == 4
    assert batches(source(job)) == batches(source(job))


def test_a_block_mixes_shards(job):
    files = source(job, block=64)
    first = set(flat(batches(files))[:32])
    drawn = [shard for shard in shards_in_order(files, 0)[:8] if first & set(shard)]
    assert len(drawn) >= 6


@pytest.mark.parametrize(("block", "shares"), [(5, 1), (48, 3)])
def test_going_on_at_any_batch_gives_the_remaining_batches(job, block, shares):
    files = source(job, block=block, shares=shares, batch_size=20)
    whole = batches(files, epoch=2)
    for batch in range(len(whole) + 1):
        row = min(20 * batch, files.rows)
        assert batches(files, epoch=2, row=row) == whole[batch:]


@pytest.mark.parametrize("block", [8, 4096])
def test_contexts_stay_together(by_user, block):
    files = source(by_user, block=block)
    order = flat(batches(files, epoch=1))
    shards = shards_in_order(files, 1)
    user_of = {1000 + k: user for k, user in enumerate(USERS)}
    assert order == order_by_context(shards, block, 7, 1, user_of.get)
    # Users who lie in two shards make two runs; no block and no batch makes more.
    written = sum(runs(map(user_of.get, shard)) for shard in shards)
    assert runs(map(user_of.get, order)) <= written


def runs(users):
    return sum(1 for _ in itertools.groupby(users))


def test_going_on_with_contexts(by_user):
    files = source(by_user, batch_size=32)
    whole = batches(files, epoch=1)
    for batch in range(len(whole)):
        assert batches(files, epoch=1, row=32 * batch) == whole[batch:]


@pytest.mark.parametrize(("block", "workers"), [(0, 2), (32, 2), (32, 4)])
def test_workers_parts_make_up_the_batch(job, block, workers):
    whole = [
        [part["ids"][:, 0].numpy().tolist() for part in parts]
        for parts in source(job, block=block, shares=4).batches()
    ]
    per_worker = [
        [
            [part["ids"][:, 0].numpy().tolist() for part in parts]
            for parts in source(
                job, block=block, shares=4, workers=workers, worker=worker
            ).batches()
        ]
        for worker in range(workers)
    ]
    together = [flat(parts) for parts in zip(*per_worker, strict=True)]
    assert together == whole
    spec = source(job, shares=4, workers=workers).element_spec
    assert len(spec) == 4 // workers


def test_rows_of_a_batch_are_known_without_reading_it(job):
    files = source(job)
    assert [files.rows_at(row) for row in (0, 128, 144)] == [16, 16, 2]
    assert [len(b) for b in batches(files)] == [16] * 9 + [2]


def test_more_rows_than_the_manifest_says_are_noticed(tmp_path):
    job = small_job(tmp_path)
    folder = write_example_set(job, {"train": [random_rows(job, 8, 1)]})
    other = small_job(tmp_path / "other")
    longer = write_example_set(other, {"train": [random_rows(job, 9, 1)]})
    manifest = (folder / "manifest.json").read_text()
    size = (longer / "train/00000.tfrecord").stat().st_size
    old = (folder / "train/00000.tfrecord").stat().st_size
    (folder / "manifest.json").write_text(manifest.replace(str(old), str(size)))
    (longer / "train/00000.tfrecord").rename(folder / "train/00000.tfrecord")
    for block in (4, 8, 32):
        with pytest.raises(DataError, match="manifest says 8"):
            batches(source(job, block=block))


def test_the_order_says_what_it_depends_on(job, by_user):
    assert source(job, block=0).order == source(job, seed=None).order == "shards"
    assert source(job).order == "blocks of 32 rows"
    assert source(by_user).order == "blocks of 32 rows, each user together"


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.integers(0, 40), max_size=20),
    block=st.integers(1, 50),
    mixed=st.booleans(),
)
def test_every_row_has_one_block(rows, block, mixed):
    shards = [
        Shard(path=str(k), rows=n, bytes=1, sha256="0") for k, n in enumerate(rows)
    ]
    groups = groups_of(shards, block, mixed=mixed)
    assert sum(int(group.sizes.sum()) for group in groups) == sum(rows)
    assert all(size <= block + 7 for group in groups for size in group.sizes)
    for row in range(sum(rows)):
        start = locate(groups, row)
        size = groups[start.group].sizes[start.block]
        assert start.row <= row < start.row + size
        assert start.row + start.dropped == row
    assert locate(groups, sum(rows)).group == len(groups)
