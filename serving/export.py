"""Exports a trained model: built alone, proved in a fresh process, published whole."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from configs.contract import check_same_contract, data_contract
from configs.errors import EXIT_CODE, DataError, ExportError
from configs.job import Job
from configs.manifest import read_manifest
from configs.publishing import publish_folder
from serving.export_golden import golden_rows, golden_set
from serving.export_signature import weights_by_name
from serving.export_version import write_version
from serving.specification import EXTRA, specification_of
from serving.versions import next_version
from trainer.run import INFERENCE_PREFIX, Run, load_inference_model

__all__ = ["REPORT_FILE", "Exported", "export_model"]

REPORT_FILE = f"{EXTRA}/export.json"

_MODEL_PREFIXES = (INFERENCE_PREFIX, "training/")
"""Begin the names of a checkpoint's variables that are the training model's."""

_VERIFICATION_SECONDS = 1_800
"""More than any machine needs; a process that hangs must not hang the export."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A published version.

    Attributes:
        folder: of the version.
        report: what `assets.extra/export.json` holds.
    """

    folder: Path
    report: dict[str, Any]


def export_model(
    job: Job,
    *,
    checkpoint: str = "best",
    version: int | None = None,
    without_golden_rows: bool = False,
) -> Exported:
    """Exports a checkpoint of `job.data.run` as a version under `job.data.models`.

    The version is saved beside its place, verified there by a fresh process
    (`serving.export_verify`), and only then renamed; on failure nothing is left.

    Args:
        job: names the run, the example set with the golden rows, and the models.
        checkpoint: `best`, `last`, a step, or the folder of a checkpoint.
        version: of the export; the next free number unless given.
        without_golden_rows: export although the example set is absent or has no golden
            rows, so that predictions are not compared with the trainer's.

    Raises:
        CheckpointError: if the run or checkpoint is missing or damaged.
        DataError: if the example set is missing, of another job, or has no golden
            rows; or if the version exists.
        ExportError: if the export does not equal the trained model, or cannot be
            written.
    """
    # Named by its folder from here on: a run that goes on may replace its best one.
    found = Run(job.data.run).checkpoints.find(checkpoint).resolve()
    trained, model = load_inference_model(job.data.run, str(found))
    check_same_contract(
        data_contract(trained), data_contract(job), what=f"The run {job.data.run}"
    )
    # Named from here on too: a stream publishes further sets.
    examples = None if without_golden_rows else golden_set(job)
    rows = [] if examples is None else _checked_golden_rows(job, examples)
    specification = specification_of(trained.model_copy(update={"name": job.name}))
    number = next_version(job.data.models) if version is None else version
    target = Path(job.data.models) / str(number)
    try:
        with (
            publish_folder(target) as folder,
            _verifying(folder, job, str(found), examples) as verify,
        ):
            warmups = write_version(
                folder,
                job=trained,
                model=model,
                specification=specification,
                rows=rows,
                warmup_rows=job.export.warmup_rows,
            )
            report = {
                "model": job.name,
                "version": number,
                "run": job.data.run,
                "checkpoint": checkpoint,
                "step": _step(found),
                "fingerprint": specification.fingerprint,
                "tensorflow": tf.__version__,
                "variables": _variables(found, model),
                "golden": verify(),
                "warmup_requests": warmups,
            }
            _write_json(folder / REPORT_FILE, report)
    except (OSError, tf.errors.OpError) as error:
        raise ExportError(
            f"{target} could not be written: {error}. Make room, or name another folder"
            " in data.models; earlier versions are untouched"
        ) from error
    return Exported(folder=target, report=report)


def _step(checkpoint: Path) -> int:
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    return int(state["step"])


def _checked_golden_rows(job: Job, examples: str) -> list[dict[str, Any]]:
    manifest = read_manifest(examples)
    check_same_contract(
        manifest.contract,
        data_contract(job),
        what=f"The example set {examples}",
    )
    rows = golden_rows(examples) if manifest.golden_rows else []
    if len(rows) != manifest.golden_rows:
        raise DataError(
            f"{examples} has {len(rows)} golden rows, its manifest says"
            f" {manifest.golden_rows}. Run preprocessing again"
        )
    if not rows:
        raise DataError(
            f"{examples} has no golden rows, so the export cannot be compared"
            " with the trained model. Set preprocessing.golden_rows and run"
            " preprocessing again, or export unproved with --without-golden-rows"
        )
    return rows


@contextmanager
def _verifying(
    folder: Path, job: Job, checkpoint: str, examples: str | None
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Starts the verifying process, which gets ready while the version is written, and
    yields the call that has it begin and returns what it found.

    The call raises an ExportError if the export is not as it must be.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [sys.executable, "-m", "serving.export_verify", str(folder)]
        command += ["--run", job.data.run, "--checkpoint", checkpoint]
        command += ["--tolerance", repr(job.export.tolerance)]
        command += ["--report", str(report), "--wait"]
        command += ["--examples", examples] if examples else []
        process = subprocess.Popen(  # noqa: S603 (our own module)
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

        def verify() -> dict[str, Any]:
            _wait_for(process)
            findings: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
            return {**findings, "tolerance": job.export.tolerance}

        with process:
            try:
                yield verify
            finally:
                process.kill()


def _wait_for(process: "subprocess.Popen[str]") -> None:
    try:
        _, stderr = process.communicate("begin\n", timeout=_VERIFICATION_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ExportError(
            f"the verification did not end within {_VERIFICATION_SECONDS} s; no"
            " version was published"
        ) from error
    if process.returncode:
        raise ExportError(
            "the export failed its verification, and no version was published:\n"
            + _reason(process.returncode, stderr)
        )


def _reason(status: int, stderr: str) -> str:
    """Returns the message of the verifying process, without TensorFlow's notices."""
    _, found, message = stderr.rpartition("error: ")
    if status == EXIT_CODE and found:
        return message.strip()
    return f"the verifying process ended with status {status}:\n{stderr[-4000:]}"


def _variables(checkpoint: Path, model: Any) -> dict[str, Any]:
    """Counts the variables of the training model (random states included, optimizer
    left out) and of the export, and the numbers that they hold."""
    sizes = {
        name: math.prod(shape)
        for name, shape in tf.train.list_variables(str(checkpoint / "variables"))
        if name.startswith(_MODEL_PREFIXES)
    }
    weights = weights_by_name(model)
    return {
        "training": len(sizes),
        "training_values": sum(sizes.values()),
        "export": len(weights),
        "export_values": sum(math.prod(w.shape) for w in weights.values()),
        "names": list(weights),
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
