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
    folder = small_example_set(job)
    for path in folder.rglob("*"):
        if path.is_file():
            name = f"small/{path.relative_to(folder)}"
            store[1].upload_file(str(path), "examples", name)
    return job


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
import sys
from configs.loading import load_job
from configs.errors import DataError
from trainer.inputs.files import ExampleFiles, Position
from trainer.end_process import end_process
job = load_job(sys.argv[1])
status = 0
for place in sys.argv[2:]:
    try:
        files = ExampleFiles(place, "train", job, batch_size=32, seed=1, block=64)
        for row in (0, 64):
            for (batch,) in files.batches(Position(row=row)):
                print(*batch["ids"][:, 0].numpy())
    except DataError as error:
        print(place, error, file=sys.stderr)
        status = 1
end_process(status)
"""


def test_batches_from_the_store_are_those_from_the_disk(store, uploaded, tmp_path):
    job = tmp_path / "job.yaml"
    job.write_text(dump_job(uploaded))
    remote = run(store[0], "-c", READ, str(job), "s3://examples/small")
    assert remote.returncode == 0, remote.stderr
    local = run({}, "-c", READ, str(job), uploaded.data.examples)
    assert remote.stdout == local.stdout
    assert len(remote.stdout.split()) == 150 + 86


def test_what_is_not_there_is_named(store, uploaded, tmp_path):
    store[1].put_object(Bucket="examples", Key="cut/manifest.json", Body=b"{}")
    job = tmp_path / "job.yaml"
    job.write_text(dump_job(uploaded))
    places = ["s3://examples/absent", "s3://examples/cut", "s3://nobucket/small"]
    ended = run(store[0], "-c", READ, str(job), *places)
    assert ended.returncode == 1, ended.stderr
    for place, found in zip(
        places,
        ("is not an example set", "manifest.json is damaged", "is not an example set"),
        strict=True,
    ):
        (line,) = [n for n in ended.stderr.splitlines() if n.startswith(place)]
        assert found in line


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
