"""The job file, and the contracts between the stages.

Imports nothing else of Pairstream, and no TensorFlow, Keras, Beam or NumPy.
"""

from configs.errors import (
    CheckpointError,
    DataError,
    ExportError,
    JobError,
    PairstreamError,
    RequestError,
    TrainingError,
)
from configs.job import Job
from configs.loading import dump_job, load_job, parse_job

__all__ = [
    "CheckpointError",
    "DataError",
    "ExportError",
    "Job",
    "JobError",
    "PairstreamError",
    "RequestError",
    "TrainingError",
    "dump_job",
    "load_job",
    "parse_job",
]
