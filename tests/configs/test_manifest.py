import hashlib
import json

import pytest

from configs import DataError
from configs.contract import data_contract, fingerprint
from configs.manifest import (
    ExampleSplit,
    Manifest,
    Shard,
    check_shards,
    counts_file,
    read_manifest,
    read_statistics,
    sha256_of,
)
from tests.configs.jobs import job_of


@pytest.fixture
def example_set(tmp_path):
    """A folder with two shards and their manifest."""
    shards = []
    for number, content in enumerate([b"first shard", b"second"]):
        path = tmp_path / "train" / f"{number:05d}.tfrecord"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        shards.append(
            Shard(
                path=f"train/{number:05d}.tfrecord",
                rows=number + 1,
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
        )
    contract = data_contract(job_of())
    manifest = Manifest(
        job="shop",
        fingerprint=fingerprint(contract),
        contract=contract,
        splits={
            "train": ExampleSplit(
                rows=3,
                positives={"click": 1},
                first_time=5,
                last_time=9,
                sampled=True,
                shards=shards,
            )
        },
        counters={"impressions_read": 3},
        dead_letters={},
    )
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json(indent=2))
    return tmp_path


def test_a_manifest_reads_as_it_was_written(example_set):
    manifest = read_manifest(example_set)
    assert manifest.splits["train"].shards[1].rows == 2
    assert fingerprint(manifest.contract) == manifest.fingerprint
    check_shards(example_set, manifest.splits["train"], deep=True)


@pytest.mark.parametrize("cut", [0, 1, 10])
def test_a_cut_shard_is_named(example_set, cut):
    split = read_manifest(example_set).splits["train"]
    (example_set / "train/00000.tfrecord").write_bytes(b"first shard"[:cut])
    with pytest.raises(
        DataError, match=rf"00000.tfrecord has {cut} bytes, expected 11"
    ):
        check_shards(example_set, split)


def test_a_longer_shard_is_named(example_set):
    split = read_manifest(example_set).splits["train"]
    (example_set / "train/00001.tfrecord").write_bytes(b"second!")
    with pytest.raises(DataError, match="has 7 bytes, expected 6"):
        check_shards(example_set, split)


def test_a_missing_shard_is_named(example_set):
    split = read_manifest(example_set).splits["train"]
    (example_set / "train/00001.tfrecord").unlink()
    with pytest.raises(DataError, match="is missing: the manifest lists it with 2"):
        check_shards(example_set, split)


def test_a_changed_byte_is_found_by_its_checksum(example_set):
    split = read_manifest(example_set).splits["train"]
    (example_set / "train/00000.tfrecord").write_bytes(b"First shard")
    check_shards(example_set, split)
    with pytest.raises(DataError, match="another SHA-256"):
        check_shards(example_set, split, deep=True)


def test_a_folder_without_manifest_is_no_example_set(tmp_path):
    with pytest.raises(DataError, match="is not an example set: it has no manifest"):
        read_manifest(tmp_path)
    with pytest.raises(DataError, match="python -m preprocessing"):
        read_manifest(tmp_path / "absent")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"rows": 3', '"rows": -3'),
        lambda text: text.replace('"job"', '"jobb"'),
        lambda text: text.replace('"version": 1', '"version": 2'),
    ],
)
def test_a_damaged_manifest_is_refused(example_set, damage):
    path = example_set / "manifest.json"
    old = path.read_text()
    path.write_text(damage(old))
    assert path.read_text() != old
    with pytest.raises(DataError, match=r"manifest.json is damaged"):
        read_manifest(example_set)


def test_a_manifest_of_other_bytes_is_refused(example_set):
    (example_set / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        read_manifest(example_set)


def test_statistics(example_set):
    one = {
        "weight": 3.0,
        "missing_weight": 1.0,
        "mean": 2.0,
        "stddev": 0.5,
        "log1p_mean": 1.0,
        "log1p_stddev": 0.1,
        "minimum": -1.0,
        "maximum": 4.0,
    }
    path = example_set / "statistics.json"
    path.write_text(json.dumps({"numeric": {"history.age": one}}))
    assert read_statistics(example_set).numeric["history.age"].stddev == 0.5
    path.write_text(json.dumps({"numeric": {"history.age": {**one, "stddev": -1}}}))
    with pytest.raises(DataError, match=r"statistics.json is damaged"):
        read_statistics(example_set)
    path.unlink()
    with pytest.raises(DataError, match=r"it has no statistics.json"):
        read_statistics(example_set)


def test_small_helpers(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()
    assert counts_file("history.item") == "counts/history.item.parquet"
