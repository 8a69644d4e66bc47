"""Verifies an exported version in a process of its own.

`python -m serving.export_verify FOLDER --run RUN --report FILE ...` loads the version
as a server does, compares it with the trainer's model, and writes what it found.
Nothing of the exporting process helps: what is not in the folder is not there.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from configs.command import run_command
from configs.errors import EXIT_CODE, ExportError
from configs.imports import import_modules
from configs.job import Job
from configs.layout import CATEGORICAL, DENSE, NUMERIC, layout_of
from preprocessing.encoding import encode_request
from serving.export_golden import golden_arrays, golden_examples, golden_rows
from serving.export_graph import check_graph, check_variables
from serving.export_signature import weights_by_name
from serving.saved_model import load_model, warm_model
from serving.values import Arrays
from trainer.inputs.examples import parse_examples
from trainer.run import load_inference_model

__all__ = ["main", "verify"]

_Encoded = dict[str, npt.NDArray[Any]]


def verify(
    folder: str | Path,
    *,
    run: str | Path,
    checkpoint: str,
    examples: str | Path | None,
    tolerance: float,
) -> dict[str, Any]:
    """Compares an exported version with the run that it was made from.

    Args:
        folder: of the version.
        run: the training run.
        checkpoint: `best`, `last`, a step, or the folder of a checkpoint.
        examples: the example set whose golden rows are scored both ways; None leaves
            that out.
        tolerance: largest difference of probabilities that counts as equal.

    Returns:
        `rows` compared and the `largest_difference`.

    Raises:
        ExportError: if anything differs.
    """
    exported = load_model(folder)
    warm_model(exported)
    job, model = load_inference_model(run, checkpoint)
    check_variables(folder, weights_by_name(model), job)
    check_graph(folder, job)
    if examples is None:
        return {"rows": 0, "largest_difference": None}
    rows = golden_rows(examples)
    arrays = golden_arrays(exported.specification, rows)
    records = tf.constant(golden_examples(examples, len(rows)))
    features = parse_examples(records, layout_of(job))
    _check_encoding(_encoded(arrays, job), features, job)
    logits = model(features, training=False)
    found = exported.predict(arrays)
    expected = {
        task: tf.sigmoid(tf.cast(logits[task], tf.float32)).numpy()
        for task in exported.specification.outputs
    }
    largest = _check_predictions(found, expected, tolerance)
    return {"rows": len(rows), "largest_difference": largest}


def _check_predictions(
    found: _Encoded,
    expected: _Encoded,
    tolerance: float,
) -> float:
    largest = 0.0
    for task, values in found.items():
        gaps = np.abs(values.astype(np.float64) - expected[task].astype(np.float64))
        gaps = np.where(np.isfinite(gaps), gaps, np.inf)
        worst = int(np.argmax(gaps))
        if gaps[worst] > tolerance:
            apart = int(np.sum(gaps > tolerance))
            raise ExportError(
                f"golden row {worst}: the export's {task} is {values[worst]}, the"
                f" trainer's {expected[task][worst]}; {apart} of {len(gaps)} rows"
                f" differ by more than {tolerance:g} (export.tolerance)"
            )
        largest = max(largest, float(gaps[worst]))
    return largest


def _encoded(arrays: Arrays, job: Job) -> _Encoded:
    columns = {name: tf.constant(values) for name, values in arrays.items()}
    return {k: v.numpy() for k, v in encode_request(columns, job).items()}


def _check_encoding(found: _Encoded, batch: dict[str, tf.Tensor], job: Job) -> None:
    """The raw rows must encode to what preprocessing wrote, value for value."""
    for key, values in found.items():
        wanted = batch[key].numpy()
        width = max(values.shape[1], wanted.shape[1])
        padding = np.nan if values.dtype.kind == "f" else -1
        here, there = (
            np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=padding)
            for a in (values, wanted)
        )
        same = here == there
        if values.dtype.kind == "f":
            same |= np.isnan(here) & np.isnan(there)
        if not same.all():
            row, place = np.argwhere(~same)[0].tolist()
            raise ExportError(
                f"golden row {row}: the raw values of {_feature(key, place, job)}"
                f" encode to {here[row, place]}, and preprocessing wrote"
                f" {there[row, place]}: the example set was made by another version of"
                " Pairstream. Run preprocessing again"
            )


def _feature(key: str, place: int, job: Job) -> str:
    layout = layout_of(job)
    if key == CATEGORICAL:
        return f"feature {layout.categorical[place]!r}"
    if key == NUMERIC:
        return f"feature {layout.numeric[place]!r}"
    if key == DENSE:
        ends = np.cumsum(list(layout.dense.values()))
        index = int(np.searchsorted(ends, place, side="right"))
        return f"feature {list(layout.dense)[index]!r}"
    return f"{key} at position {place}"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m serving.export_verify")
    parser.add_argument("folder", metavar="FOLDER", help="of the version")
    parser.add_argument("--run", required=True, help="the training run")
    parser.add_argument("--checkpoint", default="best", help="best, last, or a step")
    parser.add_argument("--examples", help="example set with golden rows")
    parser.add_argument("--tolerance", type=float, default=1e-6)
    parser.add_argument("--report", help="file for the findings; else stdout")
    parser.add_argument(
        "--wait", action="store_true", help="begin when a line comes on stdin"
    )
    options = parser.parse_args(arguments)
    if options.wait and not sys.stdin.readline():
        return EXIT_CODE  # whoever wanted it has ended

    def command() -> None:
        import_modules()  # those that the exporting process had
        findings = verify(
            options.folder,
            run=options.run,
            checkpoint=options.checkpoint,
            examples=options.examples,
            tolerance=options.tolerance,
        )
        text = json.dumps(findings) + "\n"
        if options.report:
            Path(options.report).write_text(text, encoding="utf-8")
        else:
            print(text, end="")

    return run_command(command)


if __name__ == "__main__":
    sys.exit(main())
