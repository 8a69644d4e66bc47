"""The options of a streaming training, with their defaults where the job has none."""

from configs.job import Job
from configs.stream import Stream, StreamTraining

__all__ = ["stream_options"]


def stream_options(job: Job) -> StreamTraining:
    """Returns `stream.train`."""
    return (job.stream or Stream()).train
