"""The exceptions that a user of Pairstream can cause.

PairstreamError
├── JobError         the job file is wrong, or does not fit what it is used with
├── DataError        logs or example sets are missing, damaged or of another shape
├── CheckpointError  a training run or checkpoint is missing, damaged or does not fit
├── TrainingError    training cannot go on, because of losses that are not finite, say
├── ExportError      an exported model is missing, damaged or unlike the trainer's
└── RequestError     a prediction request does not fit the model

Every message says what was found, what was expected and how to mend it. Commands
print the message alone and exit with `EXIT_CODE`; anything else is a defect of ours
and keeps its traceback.
"""

__all__ = [
    "EXIT_CODE",
    "CheckpointError",
    "DataError",
    "ExportError",
    "JobError",
    "PairstreamError",
    "RequestError",
    "TrainingError",
]

EXIT_CODE = 2
"""Exit status of a command that a `PairstreamError` ended."""


class PairstreamError(ValueError):
    """Base of all errors that a user can cause and mend."""


class JobError(PairstreamError):
    """Raised when a job file is invalid or does not fit what it is used with."""


class DataError(PairstreamError):
    """Raised when logs or example sets are missing, damaged or of another shape."""


class CheckpointError(PairstreamError):
    """Raised when a checkpoint is missing, damaged, or of another model."""


class TrainingError(PairstreamError):
    """Raised when training cannot go on."""


class ExportError(PairstreamError):
    """Raised when an exported model is missing, damaged or unlike the trainer's."""


class RequestError(PairstreamError):
    """Raised when a prediction request does not fit the model."""
