"""Finds the Kafka client, which jobs without topics do not need."""

from typing import Any

from configs.errors import JobError
from configs.job import Job
from configs.kafka import Kafka

__all__ = ["confluent_kafka", "kafka_of"]


def confluent_kafka() -> Any:
    """Returns the module `confluent_kafka`.

    Raises:
        JobError: if it is not installed.
    """
    try:
        import confluent_kafka as module
        import confluent_kafka.admin
    except ImportError as error:
        raise JobError(
            f"Kafka topics need the package confluent-kafka ({error}): pip install"
            " confluent-kafka"
        ) from error
    return module


def kafka_of(job: Job) -> Kafka:
    """Returns the brokers of a job.

    Raises:
        JobError: if it names none.
    """
    if job.stream is None or job.stream.kafka is None:
        raise JobError(
            f"the job {job.name} names no Kafka broker: add stream.kafka.servers"
        )
    return job.stream.kafka
