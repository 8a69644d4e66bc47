"""The answer of the model metadata API: the signature's inputs and outputs."""

from typing import Any

from serving.specification import SIGNATURE, Column, Specification

__all__ = ["metadata"]


def metadata(specification: Specification, name: str, version: int) -> dict[str, Any]:
    """Describes the signature as TensorFlow Serving does.

    TensorFlow Serving also names tensors inside the graph; they are left empty here,
    because nobody can address them over REST.
    """
    signature = {
        "inputs": {column.name: _input(column) for column in specification.columns},
        "outputs": {task: _tensor("DT_FLOAT", [-1]) for task in specification.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _input(column: Column) -> dict[str, Any]:
    sizes = [-1, column.length or -1] if column.is_list else [-1]
    names = {"float32": "DT_FLOAT", "int64": "DT_INT64", "string": "DT_STRING"}
    return _tensor(names[column.dtype], sizes)


def _tensor(dtype: str, sizes: list[int]) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "tensor_shape": {
            "dim": [{"size": str(size), "name": ""} for size in sizes],
            "unknown_rank": False,
        },
        "name": "",
    }
