"""Which source a job's stream has."""

from pathlib import Path

from configs.job import Job
from trainer.inputs.stream_source import StreamSource
from trainer.stream.folder import FolderSource

__all__ = ["source_of"]


def source_of(job: Job, run: Path, *, until_end: bool) -> StreamSource:
    """Returns the source, not opened yet.

    Args:
        job: the job.
        run: folder of the run, for what is put aside.
        until_end: end with what is there.

    Raises:
        PairstreamError: if the source cannot be had here.
    """
    if job.stream is None or job.stream.examples_topic is None:
        return FolderSource(job, until_end=until_end)
    # Its library is only there where Kafka is used.
    from trainer.inputs.kafka_engines import kafka_source

    return kafka_source(job, run, until_end=until_end)
