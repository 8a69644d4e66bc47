"""Paths on object stores and HDFS, which tensorflow-io adds to TensorFlow.

This is the only file that imports tensorflow-io, and it does so only when a path or the
engine of that name needs it; local paths work without it.
"""

import importlib
import threading
from typing import Any

import tensorflow as tf

from configs.errors import DataError

__all__ = [
    "file_size",
    "is_remote",
    "join",
    "names_in",
    "read_text",
    "register",
    "tensorflow_io",
]

_SCHEMES = {"s3", "az", "hdfs", "viewfs", "http", "https", "oss"}
"""Schemes that tensorflow-io registers. TensorFlow itself knows file:// and gs://."""

_PACKAGE = "tensorflow_io"

_lock = threading.Lock()


def is_remote(path: str) -> bool:
    """Returns whether `path` names a scheme, such as s3://bucket/examples."""
    return "://" in path


def join(folder: str, name: str) -> str:
    """Returns the path of `name` in a local or remote folder."""
    return f"{folder.rstrip('/')}/{name}"


def register(path: str) -> None:
    """Makes TensorFlow able to read `path`, importing tensorflow-io if it must.

    Raises:
        DataError: if the path needs tensorflow-io, and that cannot be imported.
    """
    scheme = path.partition("://")[0] if is_remote(path) else ""
    if scheme not in _SCHEMES:
        return
    tensorflow_io(f"{path}: paths of {scheme}:// are read", "copy the files to a disk")


def tensorflow_io(what: str, otherwise: str) -> Any:
    """Returns the package tensorflow-io.

    Args:
        what: is done through it, for the message.
        otherwise: what to do without it.

    Raises:
        DataError: if it cannot be imported.
    """
    with _lock:
        try:
            return importlib.import_module(_PACKAGE)
        except Exception as error:  # a wheel for another TensorFlow fails in many ways
            raise DataError(
                f"{what} through tensorflow-io, which cannot be imported here"
                f" ({type(error).__name__}: {error}). Install the extra 'io' on"
                f" TensorFlow 2.17, or {otherwise}"
            ) from error


def read_text(path: str) -> str | None:
    """Returns the text of a file, or None if there is no such file.

    Raises:
        DataError: if it cannot be read.
    """
    register(path)
    try:
        with tf.io.gfile.GFile(path, "r") as file:
            return str(file.read())
    except tf.errors.NotFoundError:
        return None
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def names_in(folder: str) -> list[str]:
    """Returns the names of what lies in a folder; none if there is no such folder."""
    register(folder)
    try:
        return [str(name).rstrip("/") for name in tf.io.gfile.listdir(folder)]
    except tf.errors.NotFoundError:
        return []
    except tf.errors.OpError as error:
        raise DataError(f"{folder} cannot be read: {error}") from error


def file_size(path: str) -> int | None:
    """Returns the bytes of a file, or None if there is no such file."""
    register(path)
    try:
        return int(tf.io.gfile.stat(path).length)
    except tf.errors.NotFoundError:
        return None
    except tf.errors.OpError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
