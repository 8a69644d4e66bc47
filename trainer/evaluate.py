"""Scores an example set with a checkpoint."""

import json
from pathlib import Path
from typing import Any

from configs.errors import DataError
from configs.job import Job
from configs.publishing import write_text_atomically
from trainer.checkpoint import read_state
from trainer.inputs.files import ExampleFiles
from trainer.journal import finite
from trainer.metrics.task import DEFINITIONS
from trainer.run import Run, load_inference_model
from trainer.scoring import Scorer, score_split

__all__ = ["evaluate"]


def evaluate(
    job: Job,
    *,
    examples: str | None = None,
    split: str = "test",
    checkpoint: str = "best",
    output: str | Path | None = None,
) -> dict[str, Any]:
    """Returns the metrics of a run's model on a split of an example set.

    Args:
        job: its `data.run` names the run.
        examples: folder of the example set; `data.examples` unless given. Its sampling
            may differ from the job's: rows say at which rate they were kept.
        split: train, validation or test. In a down-sampled one, rows are weighted.
        checkpoint: `best`, `last` or a step.
        output: JSON file to write the same to.

    Raises:
        PairstreamError: if run, checkpoint or examples are missing, damaged or do not
            fit the job.
    """
    run = Run(job.data.run)
    run.check_model(job)
    folder = run.checkpoints.find(checkpoint)
    source = ExampleFiles(
        examples or job.data.examples,
        split,
        job,
        batch_size=job.training.batch_size,
        any_sampling=True,
    )
    _, model = load_inference_model(run.folder, checkpoint)
    metrics = score_split(Scorer(model, source.element_spec), source, job)
    report: dict[str, Any] = {
        "job": job.name,
        "run": str(run.folder),
        "checkpoint": checkpoint,
        "step": read_state(folder).step,
        "examples": source.folder,
        "split": split,
        "rows": source.rows,
        "sampled": source.split.sampled,
        "tasks": metrics,
        "definitions": DEFINITIONS,
    }
    if output is not None:
        _write(Path(output), json.dumps(finite(report), indent=1, allow_nan=False))
    return report


def _write(output: Path, text: str) -> None:
    try:
        if output.is_dir():
            raise IsADirectoryError("it is a folder")
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(output, text + "\n")
    except OSError as error:
        raise DataError(
            f"the metrics cannot be written to {output} ({error}): name a file in a"
            " folder that can be written to"
        ) from error
