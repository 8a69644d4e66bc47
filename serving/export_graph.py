"""Proves that nothing of training is left in a SavedModel."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from configs.errors import ExportError
from configs.job import Job
from serving.specification import SIGNATURE

__all__ = ["check_graph", "check_variables"]

_TRAINING_WORDS = {
    "auxiliary",
    "gradient_tape",
    "gradients",
    "loss",
    "losses",
    "nip",
    "optimizer",
    "training_model",
    "uim",
}
"""Parts of names that only training-time variables and ops have."""

_TRAINING_PREFIX = "auxiliary_"
"""Begins the names of the layers of auxiliary tasks."""

_TRAINING_OPS = re.compile(
    r"Assign.*|Resource(Sparse)?Apply.*|Resource(Nd)?Scatter.*"
    r"|(?!StopGradient).*Gradient.*"
    r"|(Stateless|Stateful)?(Random|TruncatedNormal|Uniform|Multinomial).*|RngReadAndSkip"
)
"""Op types that change variables, differentiate, or drop out. StopGradient does
nothing to a prediction, and is in every layer normalization."""

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_PREFIX = "model_weights/"
_BOOKKEEPING = {"_CHECKPOINTABLE_OBJECT_GRAPH", f"save_counter{_VALUE}"}


def check_variables(
    folder: str | Path, weights: dict[str, tf.Variable], job: Job
) -> None:
    """Compares the saved variables with the inference model's: names, shapes, values.

    Raises:
        ExportError: naming what differs, or what belongs to training.
    """
    reader = tf.train.load_checkpoint(str(Path(folder) / "variables" / "variables"))
    keys = set(reader.get_variable_to_shape_map()) - _BOOKKEEPING
    saved = {_name(key): key for key in keys}
    _check_words(saved, job, "variable")
    if saved.keys() != weights.keys():
        raise ExportError(
            "the export's variables differ from the inference model's: only in the"
            f" export: {sorted(saved.keys() - weights.keys())}; only in the model:"
            f" {sorted(weights.keys() - saved.keys())}"
        )
    for name, variable in weights.items():
        expected, found = variable.numpy(), reader.get_tensor(saved[name])
        if not np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"):
            raise ExportError(
                f"the export's variable {name} differs from the inference model's"
                f" (shapes {found.shape} and {expected.shape})"
            )


def check_graph(folder: str | Path, job: Job) -> None:
    """Looks at every op that a prediction runs.

    Raises:
        ExportError: naming an op that belongs to training.
    """
    ops = list(_ops(folder))
    for name, kind in ops:
        if _TRAINING_OPS.fullmatch(kind):
            raise ExportError(
                f"the export's graph has the op {name} of type {kind}, which belongs to"
                " training"
            )
    _check_words((name for name, _ in ops), job, "op")


def _name(key: str) -> str:
    """Turns the key of a checkpoint into the path of a weight."""
    name = key.removeprefix(_PREFIX).removesuffix(_VALUE)
    # Escaped by TensorFlow, because a key is itself a path.
    return name.replace(".S", "/").replace("..", ".")


def _check_words(names: Iterable[str], job: Job, what: str) -> None:
    allowed = _names_of(job)
    for name in names:
        for part in re.split(r"[/:#]", name):
            word = re.sub(r"(_\d+)+$", "", part).lower()
            if word in allowed:
                continue
            if word in _TRAINING_WORDS or word.startswith(_TRAINING_PREFIX):
                raise ExportError(
                    f"the export's {what} {name} belongs to training ({word!r})"
                )


def _names_of(job: Job) -> set[str]:
    """The user's own names, which may well be one of the words."""
    names = {*job.features, *job.model.tasks}
    for feature in job.features.values():
        names |= set(getattr(feature, "fields", {}))
        names |= {getattr(feature, "column", None) or ""}
    return {name.lower() for name in names}


def _ops(folder: str | Path) -> Iterator[tuple[str, str]]:
    """Yields name and type of every op that the signature runs."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((Path(folder) / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0]
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {f.signature.name: f for f in graph.graph_def.library.function}
    outputs = graph.signature_def[SIGNATURE].outputs.values()
    waiting = [nodes[_node(output.name)] for output in outputs]
    seen: set[str] = set()
    called: list[str] = []
    while waiting:
        node = waiting.pop()
        if node.name in seen:
            continue
        seen.add(node.name)
        called += _called(node)
        yield node.name, node.op
        waiting += [nodes[_node(name)] for name in node.input]
    done: set[str] = set()
    while called:
        name = called.pop()
        if name in done or name not in functions:
            continue
        done.add(name)
        for node in functions[name].node_def:
            called += _called(node)
            yield node.name, node.op


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _called(node: Any) -> list[str]:
    names = []
    for value in node.attr.values():
        names += [value.func.name] if value.HasField("func") else []
        names += [function.name for function in value.list.func]
    return names
