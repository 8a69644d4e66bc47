"""Turns the body of a predict request into the body of its answer."""

import json
from typing import Any

import numpy as np
import tensorflow as tf

from serving.saved_model import LoadedModel, Predictions
from serving.server.failures import Failure, invalid
from serving.server.requests import parse_request
from serving.server.settings import Limits

__all__ = ["answer"]


def answer(body: bytes, model: LoadedModel, limits: Limits) -> bytes:
    """Answers one request; meant for a thread of its own.

    Raises:
        Failure: if the request does not fit the model.
    """
    question = parse_request(body, model.specification, limits)
    try:
        predictions = model.predict(question.arrays)
    except tf.errors.ResourceExhaustedError as error:
        raise Failure(429, f"out of memory: {error.message}") from error
    except tf.errors.InvalidArgumentError as error:
        raise invalid(error.message) from error
    _check_finite(predictions)
    if question.form == "instances":
        return _encoded({"predictions": _rows(predictions)})
    return _encoded({"outputs": _columns(predictions)})


def _check_finite(predictions: Predictions) -> None:
    """The model was seen to give finite answers when it was loaded, so a number out of
    all proportion is to blame."""
    for task, values in predictions.items():
        if not np.all(np.isfinite(values)):
            row = int(np.argmin(np.isfinite(values)))
            raise invalid(
                f"instance {row}: the model overflows, and its prediction {task!r} is"
                f" {values[row]}: a number in the request lies far outside of what the"
                " model has seen"
            )


def _rows(predictions: Predictions) -> list[Any]:
    columns = [values.tolist() for values in predictions.values()]
    if len(columns) == 1:
        return list(columns[0])
    return [
        dict(zip(predictions, row, strict=True)) for row in zip(*columns, strict=True)
    ]


def _columns(predictions: Predictions) -> Any:
    columns = {task: values.tolist() for task, values in predictions.items()}
    return columns if len(columns) > 1 else next(iter(columns.values()))


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False).encode()
