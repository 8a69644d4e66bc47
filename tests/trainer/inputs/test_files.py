"""Batches by position, and every kind of damage named in one message."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from configs import DataError
from tests.trainer.example_sets import (
    example,
    random_rows,
    small_example_set,
    small_job,
    write_example_set,
)
from trainer.inputs.example_set import open_manifest
from trainer.inputs.files import ExampleFiles, Position
from trainer.inputs.filesystems import register


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    job = small_job(tmp_path_factory.mktemp("examples"))
    small_example_set(job)
    return job


def source(job, **options):
    options = {"batch_size": 16, "seed": 7, **options}
    split = options.pop("split", "train")
    return ExampleFiles(job.data.examples, split, job, **options)


def event_ids(batches):
    return [
        [int(i) for part in parts for i in part["ids"][:, 0].numpy()]
        for parts in batches
    ]


def flat(batches):
    return [event for batch in batches for event in batch]


def test_values_survive_parsing(job):
    rows = random_rows(job, 150, seed=1)
    files = source(job, seed=None, batch_size=150)
    ((batch,),) = list(files.batches())
    for key in ("labels", "ids", "categorical", "dense", "truth"):
        expected = np.array([row[key] for row in rows])
        np.testing.assert_array_equal(
            batch[key].numpy(), expected.astype(batch[key].dtype.as_numpy_dtype)
        )
    np.testing.assert_array_equal(
        batch["numeric"].numpy(), np.array([r["numeric"] for r in rows], np.float32)
    )
    for number, row in enumerate(rows):
        tags = batch["multi_valued/tags"][number].numpy()
        items = batch["sequence/history/item"][number].numpy()
        ages = batch["sequence/history/age"][number].numpy()
        length = len(row["sequence/history/item"])
        assert tags[tags >= 0].tolist() == row["multi_valued/tags"].tolist()
        assert items.tolist() == [*row["sequence/history/item"], *[-1] * (4 - length)]
        assert np.isnan(ages[length:]).all() and not np.isnan(ages[:length]).any()


def test_an_epoch_has_every_row_once(job):
    batches = event_ids(source(job).batches())
    assert [len(b) for b in batches] == [16] * 9 + [6]
    assert sorted(flat(batches)) == list(range(1000, 1150))


def test_the_order_is_a_function_of_seed_and_epoch(job):
    def order(seed, epoch):
        return [s.path for s in source(job, seed=seed).shards_of(epoch)]

    assert order(7, 0) == order(7, 0)
    assert len({tuple(order(s, e)) for s in range(5) for e in range(5)}) == 6
    assert order(None, 3) == [s.path for s in source(job).split.shards]


@pytest.mark.parametrize("shares", [1, 2])
def test_going_on_at_any_batch_gives_the_remaining_batches(job, shares):
    files = source(job, shares=shares)
    whole = event_ids(files.batches(Position(epoch=2)))
    for batch in range(len(whole) + 1):
        row = min(16 * batch, files.rows)
        rest = event_ids(files.batches(Position(epoch=2, row=row)))
        assert rest == whole[batch:]


def test_shares_cut_every_batch_alike(job):
    parts = list(source(job, shares=4).batches())
    sizes = [[int(p["labels"].shape[0]) for p in batch] for batch in parts]
    assert sizes == [[4, 4, 4, 4]] * 9 + [[2, 2, 2, 0]]


def test_gzip(tmp_path):
    job = small_job(tmp_path)
    small_example_set(job, zipped=True)
    assert sorted(flat(event_ids(source(job).batches()))) == list(range(1000, 1150))


def test_a_missing_set_says_what_to_run(tmp_path):
    job = small_job(tmp_path)
    with pytest.raises(DataError, match=r"is not an example set.*preprocessing run"):
        source(job)


def test_absent_and_empty_splits(tmp_path):
    job = small_job(tmp_path)
    write_example_set(job, {"train": [random_rows(job, 5, 1)], "validation": [[]]})
    with pytest.raises(DataError, match=r"'validation' .* is empty.*'train'"):
        source(job, split="validation")
    with pytest.raises(DataError, match=r"'test' .* is absent"):
        source(job, split="test")


def test_another_feature_is_named(job):
    other = small_job(job.data.examples, "features.user.type=int64")
    other = other.model_copy(update={"data": job.data})
    with pytest.raises(DataError, match=r"features\.user\.type: has 'string'"):
        source(other)


@pytest.fixture
def broken(tmp_path):
    """A set of one's own to damage: its job, and the path of its third shard."""
    job = small_job(tmp_path)
    return job, small_example_set(job) / "train/00002.tfrecord"


def test_a_cut_file_is_found_before_reading(broken):
    job, path = broken
    data = path.read_bytes()
    first = 12 + int.from_bytes(data[:8], "little") + 4
    path.write_bytes(data[:first])  # at a record boundary: silent in TensorFlow
    with pytest.raises(DataError, match=rf"00002.tfrecord has {first} bytes, expected"):
        source(job)
    path.unlink()
    with pytest.raises(DataError, match=r"00002.tfrecord is missing"):
        source(job)


def test_a_flipped_byte_names_file_and_record(broken):
    job, path = broken
    data = bytearray(path.read_bytes())
    length = 12 + int.from_bytes(data[:8], "little") + 4
    data[length + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"00002.tfrecord: record 2 of 109") as caught:
        list(source(job, seed=None).batches())
    assert "Traceback" not in str(caught.value) and "node" not in str(caught.value)


def test_a_file_that_lies_about_its_rows_is_found_after_reading(broken):
    job, path = broken
    manifest = path.parent.parent / "manifest.json"
    values = json.loads(manifest.read_text())
    values["splits"]["train"]["rows"] += 1
    values["splits"]["train"]["shards"][2]["rows"] += 1
    manifest.write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"read 150 rows.*manifest says 151.*00002"):
        list(source(job).batches())


def test_examples_of_another_layout_and_garbage(tmp_path):
    job = small_job(tmp_path)
    rows = random_rows(job, 4, 1)
    rows[2]["categorical"] = np.array([1])
    path = write_example_set(job, {"train": [random_rows(job, 4, 1)]}) / "train"
    rewrite(path / "00000.tfrecord", [example(row) for row in rows])
    with pytest.raises(DataError, match="record 3 of 4 cannot be read"):
        list(source(job).batches())
    rewrite(path / "00000.tfrecord", [example(rows[0]), b"\xff\xfe garbage \x80"])
    with pytest.raises(DataError, match="record 2 of 4 cannot be read"):
        list(source(job).batches())


@pytest.mark.parametrize(
    ("key", "feature", "value"),
    [
        ("categorical", "item", 2**63 - 1),
        ("multi_valued/tags", "tags", -1),
        ("sequence/history/item", r"history\.item", -7),
    ],
)
def test_an_id_out_of_range_names_feature_file_and_record(
    tmp_path, key, feature, value
):
    job = small_job(tmp_path)
    rows = random_rows(job, 4, 1)
    rows[2][key] = np.array([3, value])
    rows[2]["sequence/history/age"] = np.ones(len(rows[2]["sequence/history/item"]))
    write_example_set(job, {"train": [rows]})
    with pytest.raises(
        DataError, match=rf"record 3 of 4 .*{feature} has the id {value}, expected 0 to"
    ) as caught:
        list(source(job).batches())
    assert "assert" not in str(caught.value).lower()


def rewrite(path, records):
    """Replaces a shard, and its size in the manifest, by other records."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    manifest = path.parent.parent / "manifest.json"
    values = json.loads(manifest.read_text())
    values["splits"]["train"]["shards"][0]["bytes"] = path.stat().st_size
    manifest.write_text(json.dumps(values))


def test_remote_paths_need_tensorflow_io(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(DataError, match=r"s3://bucket/x.*tensorflow-io.*extra 'io'"):
        register("s3://bucket/x")
    with pytest.raises(DataError, match="tensorflow-io"):
        open_manifest("s3://bucket/examples")
    register("/local/path")


def test_paths_with_a_scheme_are_read_through_tensorflow(job):
    files = ExampleFiles(f"file://{job.data.examples}", "train", job, batch_size=64)
    assert len(flat(event_ids(files.batches()))) == 150
