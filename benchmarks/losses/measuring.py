"""Time and peak memory of one variant: runs in a process of its own."""

import re
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks.losses.variants import NAIVE, VARIANTS, columns, largest_matrix

__all__ = ["BATCHES", "RATES", "measure"]

BATCHES = (4_096, 16_384, 65_536)
RATES = (0.001, 0.02, 0.25)
LARGEST_MATRIX = 1_100.0
"""MiB. A variant that would need more is left out: it makes about four of them."""
SECONDS = 1.0
"""Each batch is repeated for so long, and 3 times at the least."""
SLOW = 2.0
"""Seconds. What takes longer is repeated once."""


def measure(loss: str, variant: str) -> list[dict[str, Any]]:
    """Returns a record for each batch size and click rate, from small to large."""
    function = _with_gradient(loss, variant)
    # Traces, and makes the allocations that do not depend on the batch.
    _run(function, columns(64, 0.25))
    return [
        _measure_batch(function, loss, variant, rows, rate)
        for rows in BATCHES
        for rate in RATES
        if largest_matrix(loss, variant, rows, rate) <= LARGEST_MATRIX
        and not (variant == NAIVE and loss != "InfoNCE" and rate < max(RATES))
    ]


def _with_gradient(loss: str, variant: str) -> Any:
    def value_and_gradient(batch: dict[str, tf.Tensor]) -> Any:
        inputs = [batch[name] for name in ("logits", "anchors", "targets")]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = VARIANTS[loss][variant](batch)
        slopes = tape.gradient(value, inputs)
        return value, [tf.convert_to_tensor(x) for x in slopes if x is not None]

    spec = {
        name: tf.TensorSpec([None, *array.shape[1:]], tf.float32)
        for name, array in columns(64, 0.25).items()
    }
    return tf.function(value_and_gradient, input_signature=[spec], autograph=False)


def _measure_batch(
    function: Any, loss: str, variant: str, rows: int, rate: float
) -> dict[str, Any]:
    batch = {name: tf.constant(x) for name, x in columns(rows, rate).items()}
    before, started = _start_of_peak(), time.perf_counter()
    value = _run(function, batch)
    least = 3 if time.perf_counter() - started < SLOW else 1
    times: list[float] = []
    while len(times) < least or sum(times) < SECONDS:
        started = time.perf_counter()
        _run(function, batch)
        times.append(time.perf_counter() - started)
    return {
        "loss": loss,
        "variant": variant,
        "rows": rows,
        "rate": rate,
        "value": value,
        "milliseconds": 1e3 * statistics.median(times),
        "mebibytes": _status("VmHWM") - before,
    }


def _run(function: Any, batch: Any) -> float:
    value, gradients = function(batch)
    # A step waits for its gradients.
    _wait(gradients)
    return float(value)


def _wait(tensors: Iterable[tf.Tensor]) -> None:
    for tensor in tensors:
        tensor.numpy()


def _start_of_peak() -> float:
    """Lets Linux forget the peak so far, and returns what is in use, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(field: str) -> float:
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", text)
    if found is None:
        raise OSError(f"/proc/self/status has no {field}")
    return int(found[1]) / 1024.0
