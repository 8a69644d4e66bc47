"""Gives the inputs of a SavedModel's signature the names of the log's columns."""

from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2

from serving.specification import SIGNATURE, Specification

__all__ = ["rename_inputs"]


def rename_inputs(folder: str | Path, specification: Specification) -> None:
    """Replaces stand-ins (`serving.input_names`) by the columns that they stand for.

    Only the signature is changed, which is what TensorFlow Serving and TensorFlow's
    sessions read. `tf.saved_model.load` makes Python parameters of the inputs again,
    and goes on to use the stand-ins.
    """
    standins = {c.input: c.name for c in specification.columns if c.input is not None}
    if not standins:
        return
    path = Path(folder) / "saved_model.pb"
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(path.read_bytes())
    for graph in saved.meta_graphs:
        inputs = graph.signature_def[SIGNATURE].inputs
        for standin, name in standins.items():
            inputs[name].CopyFrom(inputs[standin])
            del inputs[standin]
    path.write_bytes(saved.SerializeToString(deterministic=True))
