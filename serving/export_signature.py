"""The exported graph: raw columns in, calibrated probabilities out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from configs.errors import ExportError
from configs.job import Job
from preprocessing.encoding import encode_request
from serving.export_names import rename_inputs
from serving.specification import SIGNATURE, Column, Specification
from trainer.variables import named_variables

__all__ = ["ServingModule", "save_model", "weights_by_name"]


class ServingModule(tf.Module):  # type: ignore[misc]
    """What is saved: the inference model's weights, and the function over them.

    The Keras model itself is not attached, so that nothing but the weights that
    inference reads, under their names, can reach the SavedModel.
    """

    def __init__(self, job: Job, model: Any, specification: Specification) -> None:
        super().__init__()
        self.model_weights = weights_by_name(model)

        def serve(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            columns = {c.name: inputs[c.keyword] for c in specification.columns}
            logits = model(encode_request(columns, job), training=False)
            return {
                task: tf.sigmoid(tf.cast(logits[task], tf.float32))
                for task in specification.outputs
            }

        inputs = {c.keyword: _tensor_spec(c) for c in specification.columns}
        self.serve = tf.function(serve, input_signature=[inputs])


def save_model(
    folder: str | Path, job: Job, model: Any, specification: Specification
) -> Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """Writes the SavedModel of a trained inference model.

    Args:
        folder: an existing folder.
        job: that the model was trained with.
        model: the `InferenceModel`, its weights restored.
        specification: of requests.

    Returns:
        A function from packed columns to probabilities, both by name.

    Raises:
        ExportError: if the model cannot be served.
    """
    module = ServingModule(job, model, specification)
    function = module.serve.get_concrete_function()
    # TensorFlow Serving does not link the compiler that jitted functions need.
    if _is_jitted(function):
        raise ExportError(
            "the model's graph is compiled by XLA, which TensorFlow Serving cannot"
            " run: build the model without jit_compile"
        )
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: function})
    rename_inputs(folder, specification)
    keywords = {column.name: column.keyword for column in specification.columns}
    return lambda columns: function({keywords[n]: v for n, v in columns.items()})


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
    return tf.TensorSpec(shape, tf.as_dtype(column.dtype), name=column.keyword)


def _is_jitted(function: Any) -> bool:
    library = function.graph.as_graph_def().library.function
    return any(inner.attr["_XlaMustCompile"].b for inner in library)
