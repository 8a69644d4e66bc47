"""Example sets on an object store, through tensorflow-io and a local S3 server.

What reads them runs in processes of its own: tensorflow-io takes the store's address
from the environment when it is loaded, and its S3 client starts threads.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs import dump_job
from tests.trainer.example_sets import small_example_set, small_job
from tests.trainer.inputs.test_days import DAYS, write_days

pytest.importorskip("tensorflow_io")
boto3 = pytest.importorskip("boto3")
server = pytest.importorskip("moto.server")

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def store():
    """The environment of a process that reads from the store, and its client."""
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    variables = {
        "S3_ENDPOINT": f"http://{host}:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    )
    client.create_bucket(Bucket="examples")
    yield variables, client
    running.stop()


@pytest.fixture(scope="module")
def uploaded(store, tmp_path_factory):
    """The job of a small example set that lies in the store and on this disk."""
    job = small_job(tmp_path_factory.mktemp("store"), "training.shuffle_block=64")
    upload(store[1], small_example_set(job), "small")
    return job


def upload(client, folder, name):
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(
                str(path), "examples", f"{name}/{path.relative_to(folder)}"
            )


def run(variables, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


READ = """
from configs.loading import load_job
from configs.errors import DataError
from trainer.inputs.example_set import read_all_statistics
from trainer.inputs.files import ExampleFiles, Position
from trainer.vocabularies import make_vocabularies


def read(job, place, days):
    chosen = [] if days is None else [f"data.days={days}"]
    job = load_job(job, [f"data.examples={place}", *chosen])
    try:
        files = ExampleFiles(place, "train", job, batch_size=32, seed=1, block=64)
        words = make_vocabularies(job, place)
        statistics = read_all_statistics(place, job.data.days)
        return {
            "ids": [
                batch["ids"][:, 0].numpy().tolist()
                for row in (0, 32)
                for (batch,) in files.batches(Position(row=row))
            ],
            "words": {name: values.tolist() for name, values in words.items()},
            "statistics": statistics.model_dump(mode="json"),
        }
    except DataError as error:
        return {"error": str(error)}
"""

READ_ALL = """
import json, sys
from trainer.end_process import end_process
print(json.dumps([read(sys.argv[1], *place) for place in json.loads(sys.argv[2])]))
end_process(0)
"""

SOME_DAYS = f"{DAYS[1]}..{DAYS[2]}"

PLACES = {
    "one set": ("small", None),
    "all days": ("days", None),
    "some days": ("days", SOME_DAYS),
    "a day": (f"days/{DAYS[2]}", None),
    "too many days": ("days", f"{DAYS[1]}..2026-01-04"),
    "absent": ("absent", None),
    "cut": ("cut", None),
    "no bucket": ("s3://nobucket/small", None),
}


@pytest.fixture(scope="module")
def both(store, uploaded, tmp_path_factory):
    """What one process reads from the store at all places, and this one from the disk
    where it has the same."""
    disk = tmp_path_factory.mktemp("days")
    write_days(disk)
    upload(store[1], disk / "examples", "days")
    store[1].put_object(Bucket="examples", Key="cut/manifest.json", Body=b"{}")
    job = disk / "job.yaml"
    job.write_text(dump_job(uploaded))
    remote = [
        (place if "://" in place else f"s3://examples/{place}", days)
        for place, days in PLACES.values()
    ]
    ended = run(store[0], "-c", READ + READ_ALL, str(job), json.dumps(remote))
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    local = {}
    exec(READ, local)  # noqa: S102 (the text above)
    folders = {"small": uploaded.data.examples, "days": disk / "examples"}
    expected = {
        name: local["read"](job, str(folders[place]), days)
        for name, (place, days) in PLACES.items()
        if place in folders
    }
    return dict(zip(PLACES, found, strict=True)), expected


@pytest.mark.parametrize(
    ("name", "rows"), [("one set", 150), ("all days", 93), ("some days", 63)]
)
def test_what_is_read_from_the_store_is_that_of_the_disk(both, name, rows):
    found, expected = both[0][name], both[1][name]
    assert found == expected
    assert sum(map(len, found["ids"])) == rows + rows - 32
    assert found["words"] and found["statistics"]["numeric"]


def test_a_day_alone_is_a_set(both):
    assert sum(map(len, both[0]["a day"]["ids"])) == 32


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("too many days", "no example set of 2026-01-04"),
        ("absent", "s3://examples/absent is not an example set"),
        ("cut", "s3://examples/cut/manifest.json is damaged"),
        ("no bucket", "s3://nobucket/small is not an example set"),
    ],
)
def test_what_is_not_there_is_named(both, name, message):
    assert message in both[0][name]["error"]


@pytest.mark.slow
def test_the_train_command_reads_from_the_store(store, uploaded, tmp_path):
    job = tmp_path / "job.yaml"
    job.write_text(dump_job(uploaded))
    validation = []
    for name, place in (
        ("remote", "s3://examples/small"),
        ("local", uploaded.data.examples),
    ):
        ended = run(
            store[0],
            *("-m", "trainer", "train", str(job)),
            *(
                "--set",
                f"data.examples={place}",
                "--set",
                f"data.run={tmp_path / name}",
            ),
        )
        assert ended.returncode == 0, ended.stderr
        states = sorted((tmp_path / name / "checkpoints").glob("*/state.json"))
        validation.append(json.loads(states[-1].read_text())["validation"])
    assert validation[0] == validation[1]
