"""The exported graph: raw columns in, calibrated probabilities out."""

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from configs.errors import ExportError
from configs.job import Job
from preprocessing.encoding import encode_request
from serving.specification import SIGNATURE, Column, Specification
from trainer.variables import named_variables

__all__ = ["ServingModule", "save_model", "weights_by_name"]

_INPUT_NAME = re.compile(r"[^\W\d]\w*")


class ServingModule(tf.Module):  # type: ignore[misc]
    """What is saved: the inference model's weights, and the function over them.

    The Keras model itself is not attached, so that nothing but the weights that
    inference reads, under their names, can reach the SavedModel.
    """

    def __init__(self, job: Job, model: Any, specification: Specification) -> None:
        super().__init__()
        self.model_weights = weights_by_name(model)

        def serve(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            logits = model(encode_request(columns, job), training=False)
            return {
                task: tf.sigmoid(tf.cast(logits[task], tf.float32))
                for task in specification.outputs
            }

        inputs = {c.name: _tensor_spec(c) for c in specification.columns}
        self.serve = tf.function(serve, input_signature=[inputs])


def save_model(
    folder: str | Path, job: Job, model: Any, specification: Specification
) -> Any:
    """Writes the SavedModel of a trained inference model.

    Args:
        folder: an existing folder.
        job: that the model was trained with.
        model: the `InferenceModel`, its weights restored.
        specification: of requests.

    Returns:
        The concrete function: packed columns to probabilities, by task.

    Raises:
        ExportError: if a column's name cannot be the name of an input.
    """
    _check_names(specification.column_names())
    module = ServingModule(job, model, specification)
    function = module.serve.get_concrete_function()
    # TensorFlow Serving does not link the compiler that jitted functions need.
    if _is_jitted(function):
        raise ExportError(
            "the model's graph is compiled by XLA, which TensorFlow Serving cannot"
            " run: build the model without jit_compile"
        )
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: function})
    return function


def weights_by_name(model: Any) -> dict[str, tf.Variable]:
    """Returns the weights of an inference model by the names that checkpoints use.

    States of random generators are no weights: inference draws nothing.
    """
    weights = {id(weight) for weight in model.weights}
    return {
        name: variable.value
        for name, variable in named_variables(model).items()
        if id(variable) in weights
    }


def _tensor_spec(column: Column) -> tf.TensorSpec:
    shape = [None, column.length] if column.is_list else [None]
    dtype = tf.float32 if column.is_number else tf.string
    return tf.TensorSpec(shape, dtype, name=column.name)


def _is_jitted(function: Any) -> bool:
    library = function.graph.as_graph_def().library.function
    return any(inner.attr["_XlaMustCompile"].b for inner in library)


def _check_names(names: list[str]) -> None:
    """TensorFlow makes Python parameters of the inputs' names."""
    seen: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"\W", "_", name)
        if (
            not _INPUT_NAME.fullmatch(plain)
            or keyword.iskeyword(plain)
            or plain == "self"
        ):
            raise ExportError(
                f"the column {name!r} cannot be an input of a SavedModel: TensorFlow"
                " takes names that start with a letter and are no word of Python's."
                " Rename the column in the logs and in the job"
            )
        if plain in seen:
            raise ExportError(
                f"the columns {seen[plain]!r} and {name!r} cannot both be inputs of a"
                f" SavedModel: TensorFlow calls both {plain!r}. Rename one in the logs"
                " and in the job"
            )
        seen[plain] = name
