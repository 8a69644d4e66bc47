"""What all tests share: a quiet TensorFlow, and the folder of public data."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kafka_cluster import kafka_broker, mock_kafka, topic_name  # noqa: F401

# Before anything imports TensorFlow: no logs, no GPU that a test did not ask for.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder with setup.py."""
    return ROOT


@pytest.fixture(scope="session")
def public_data() -> Callable[[str], Path]:
    """`public_data("criteo_first80k")` is that data set's folder; the test is skipped
    where it is absent. The sets lie in $PAIRSTREAM_DATA, or in ../shared/data."""

    def folder_of(name: str) -> Path:
        parent = Path(os.environ.get("PAIRSTREAM_DATA", ROOT.parent / "shared/data"))
        folder = parent / name
        if not folder.is_dir():
            pytest.skip(
                f"the public data set {name} is not at {folder}: set PAIRSTREAM_DATA to"
                " the folder that holds it"
            )
        return folder

    return folder_of
