"""An exported version, loaded and ready to predict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from configs.errors import ExportError
from serving.golden import GoldenRow, read_golden
from serving.specification import SIGNATURE, Specification, read_specification
from serving.values import Arrays, columns_of_rows, pack_columns

__all__ = [
    "WARMING_ROWS",
    "LoadedModel",
    "Predictions",
    "load_model",
    "warm_model",
]

Predictions = dict[str, npt.NDArray[np.float32]]

WARMING_ROWS = 32
"""Golden rows that a freshly loaded model has to answer before it is used."""

_WARMING_TOLERANCE = 1e-4
"""Between the exporting machine and this one: other instructions sum in another order
(1e-6 or so), while a damaged or exchanged weight shows in the second digit."""


class LoadedModel:
    """A SavedModel with its specification.

    Attributes:
        folder: of the version.
        specification: of requests to it.
    """

    def __init__(self, folder: Path, specification: Specification, root: Any) -> None:
        self.folder = folder
        self.specification = specification
        self._root = root  # Owns the variables; the signature only refers to them.
        self._signature = root.signatures[SIGNATURE]

    def predict(self, arrays: Arrays) -> Predictions:
        """Returns the probability of each task, [B] float32, for packed columns."""
        tensors = {
            column.keyword: tf.constant(arrays[column.name])
            for column in self.specification.columns
        }
        outputs = self._signature(**tensors)
        return {task: outputs[task].numpy() for task in self.specification.outputs}


def load_model(folder: str | Path) -> LoadedModel:
    """Loads an exported version.

    Raises:
        ExportError: if the folder is no exported version, is damaged, or its graph
            does not fit its specification.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ExportError(f"{folder} is no folder; expected an exported version")
    for part in ("saved_model.pb", "variables/variables.index"):
        if not (folder / part).is_file():
            raise ExportError(
                f"{folder} is no complete SavedModel: {part} is missing. Export the"
                " model again"
            )
    specification = read_specification(folder)
    try:
        root = tf.saved_model.load(str(folder))
    except Exception as error:
        # Damage shows as OSError, OpError, IndexError, DecodeError and others.
        raise ExportError(
            f"{folder} is damaged and cannot be loaded: {error}. Export the model again"
        ) from error
    _check_signature(folder, specification, root)
    return LoadedModel(folder, specification, root)


def warm_model(model: LoadedModel) -> None:
    """Lets a model answer its golden rows, which also compiles what is lazy.

    Raises:
        ExportError: if an answer is not finite or not the one stored at export.
    """
    golden = read_golden(model.folder, WARMING_ROWS)
    rows = [dict(entry.row) for entry in golden]
    rows = rows or [model.specification.missing_row()]
    columns, problems = columns_of_rows(model.specification, rows, allow_extra=True)
    arrays, more = pack_columns(model.specification, columns)
    if problems or more:
        raise ExportError(
            f"{model.folder}: its golden rows do not fit its specification:"
            f" {[*problems, *more][0]}. Export the model again"
        )
    try:
        predictions = model.predict(arrays)
        # Most requests have another number of rows, and the first such is slow.
        model.predict({name: values[:1] for name, values in arrays.items()})
    except tf.errors.OpError as error:
        raise ExportError(
            f"{model.folder} cannot answer its golden rows: {error.message}"
        ) from error
    _check_golden(model.folder, golden, predictions)


def _check_golden(
    folder: Path, golden: list[GoldenRow], predictions: Mapping[str, Any]
) -> None:
    for task, found in predictions.items():
        if not np.all(np.isfinite(found)):
            raise ExportError(
                f"{folder}: the prediction {task!r} of golden row"
                f" {int(np.argmin(np.isfinite(found)))} is not finite: the model is"
                " unusable. Train and export it again"
            )
        for row, entry in enumerate(golden):
            expected = entry.predictions.get(task, np.nan)
            if not abs(float(found[row]) - expected) <= _WARMING_TOLERANCE:
                raise ExportError(
                    f"{folder}: golden row {row} gets {task} = {found[row]}, expected"
                    f" {expected} as at export: the folder was changed. Export the"
                    " model again"
                )


def _check_signature(folder: Path, specification: Specification, root: Any) -> None:
    if SIGNATURE not in root.signatures:
        raise ExportError(
            f"{folder} has the signatures {list(root.signatures)}, expected"
            f" {SIGNATURE!r}. Export the model again"
        )
    signature = root.signatures[SIGNATURE]
    found = {
        name: (tensor.dtype, tensor.shape.rank)
        for name, tensor in signature.structured_input_signature[1].items()
    }
    expected = {
        column.keyword: (
            tf.as_dtype(column.dtype),
            2 if column.is_list else 1,
        )
        for column in specification.columns
    }
    outputs = set(signature.structured_outputs)
    if found != expected or outputs != set(specification.outputs):
        differing = {n for n, _ in found.items() ^ expected.items()}
        differing |= outputs ^ set(specification.outputs)
        raise ExportError(
            f"{folder}: graph and specification differ in {sorted(differing)}. Export"
            " the model again"
        )
