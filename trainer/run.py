"""The folder of a training run.

    job.yaml           the resolved job
    contract.json      what a checkpoint of this run and a job must agree on
    statistics.json    of numeric inputs, as the model froze them
    vocabularies/      sorted fingerprints by table, .npy
    checkpoints/       see `trainer.checkpoint`
    metrics.jsonl      a line for each log point and evaluation
    tensorboard/       the same, for TensorBoard

This module knows no loss and no optimizer: export reads runs through it.
"""

import json
import shutil
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from configs.contract import Contract, check_same_contract, model_contract
from configs.errors import CheckpointError, DataError
from configs.job import Job
from configs.layout import layout_of
from configs.loading import dump_job, load_job
from configs.manifest import STATISTICS_FILE, Statistics
from configs.publishing import publish_folder, write_text_atomically
from trainer.checkpoint import Checkpoints, restore, shapes_in
from trainer.inference import InferenceModel, build_inference_model
from trainer.variables import named_variables, one_row
from trainer.vocabularies import Vocabularies

__all__ = ["INFERENCE_PREFIX", "Run", "load_inference_model"]

INFERENCE_PREFIX = "inference/"
"""Begins the names of all variables that are served."""

JOB_FILE = "job.yaml"
CONTRACT_FILE = "contract.json"
VOCABULARIES_FOLDER = "vocabularies"
CHECKPOINTS_FOLDER = "checkpoints"
METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


class Run:
    """A run that exists.

    Args:
        folder: `data.run` of the job.

    Raises:
        CheckpointError: if there is no run.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2) -> None:
        self.folder = Path(folder)
        if not (self.folder / CONTRACT_FILE).is_file():
            raise CheckpointError(
                f"{folder} is not a training run: it has no {CONTRACT_FILE}. Run"
                " `python -m trainer train JOB` first, or name another folder in"
                " data.run"
            )
        self.checkpoints = Checkpoints(self.folder / CHECKPOINTS_FOLDER, keep)
        self.metrics_file = self.folder / METRICS_FILE
        self.tensorboard = self.folder / TENSORBOARD_FOLDER

    @classmethod
    def create(
        cls,
        job: Job,
        *,
        statistics: Statistics,
        vocabularies: Vocabularies,
        overwrite: bool = False,
    ) -> "Run":
        """Makes the folder of a new run.

        Raises:
            CheckpointError: if it exists and `overwrite` is false.
        """
        folder = Path(job.data.run)
        if folder.exists() and not overwrite:
            raise CheckpointError(
                f"{folder} exists already: say --resume to go on with that run,"
                " --overwrite to replace it, or name another folder in data.run"
            )
        with publish_folder(folder, overwrite=overwrite, mark=CONTRACT_FILE) as partial:
            (partial / JOB_FILE).write_text(dump_job(job), encoding="utf-8")
            contract = json.dumps(model_contract(job), indent=1)
            (partial / CONTRACT_FILE).write_text(contract, encoding="utf-8")
            text = statistics.model_dump_json(indent=1)
            (partial / STATISTICS_FILE).write_text(text, encoding="utf-8")
            (partial / VOCABULARIES_FOLDER).mkdir()
            for name, values in vocabularies.items():
                path = partial / VOCABULARIES_FOLDER / f"{name}.npy"
                np.save(path, values, allow_pickle=False)
            (partial / CHECKPOINTS_FOLDER).mkdir()
        return cls(folder, keep=job.training.keep_checkpoints)

    def job(self) -> Job:
        """Returns the job of the run."""
        return load_job(self.folder / JOB_FILE)

    def replace_job(self, job: Job) -> None:
        """Writes the job that the run goes on with."""
        write_text_atomically(self.folder / JOB_FILE, dump_job(job))

    def check_model(self, job: Job) -> None:
        """Checks that the run is of the model of `job`.

        Raises:
            CheckpointError: naming what differs.
        """
        path = self.folder / CONTRACT_FILE
        try:
            found: Contract = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        expected = json.loads(json.dumps(model_contract(job)))
        try:
            check_same_contract(found, expected, what=f"the run {self.folder}")
        except DataError as error:
            raise CheckpointError(str(error)) from None

    def statistics(self) -> Statistics:
        """Returns the statistics that the model was built with."""
        path = self.folder / STATISTICS_FILE
        try:
            return Statistics.model_validate_json(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error

    def vocabularies(self) -> Vocabularies:
        """Returns the vocabularies that the model was built with."""
        vocabularies: Vocabularies = {}
        for path in sorted((self.folder / VOCABULARIES_FOLDER).glob("*.npy")):
            try:
                vocabularies[path.stem] = np.load(path, allow_pickle=False)
            except (OSError, ValueError) as error:
                raise CheckpointError(f"{path} cannot be read: {error}") from error
        return vocabularies

    def remove(self) -> None:
        """Removes the run."""
        shutil.rmtree(self.folder)


def load_inference_model(
    run: str | Path, checkpoint: str = "best"
) -> tuple[Job, InferenceModel]:
    """Restores the model that is served, and nothing else, from a run.

    Args:
        run: folder of the run.
        checkpoint: `best`, `last`, or a step.

    Returns:
        The job of the run, and the model with all variables restored.

    Raises:
        CheckpointError: if there is no such checkpoint, it is damaged, holds a variable
            of the inference model that the model lacks or the other way round, or a
            weight that is not float32.
    """
    opened = Run(run)
    job = opened.job()
    folder = opened.checkpoints.find(checkpoint)
    model = build_inference_model(
        job, statistics=opened.statistics(), vocabularies=opened.vocabularies()
    )
    model(one_row(layout_of(job)))
    variables = {INFERENCE_PREFIX + n: v for n, v in named_variables(model).items()}
    found = shapes_in(folder)
    unused = [n for n in found if n.startswith(INFERENCE_PREFIX) and n not in variables]
    if unused:
        raise CheckpointError(
            f"{folder} holds variables that the inference model of its job"
            f" ({opened.folder}/{JOB_FILE}) has no place for: {unused}"
        )
    narrow = [
        name
        for name, (_, dtype) in found.items()
        if name in variables and dtype not in ("float32", "int64")
    ]
    if narrow:
        raise CheckpointError(
            f"{folder}: expected float32 weights, not those: {narrow}"
        )
    restore(folder, variables)
    return job, model
