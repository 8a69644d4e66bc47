"""How much of the machine's matrix multiplication a training step makes use of."""

from contextlib import ExitStack
from pathlib import Path

from benchmarks.training import shape
from benchmarks.training.spread import Spread, spread
from benchmarks.training.workers import System, Worker, interleave

__all__ = ["LIBRARIES", "multiplication_rates"]

LIBRARIES = {
    "tensorflow": System(title="TensorFlow, float32", module="matmul_tensorflow"),
    "tensorflow16": System(
        title="TensorFlow, bfloat16",
        module="matmul_tensorflow",
        options=("--precision", "bfloat16"),
    ),
    "torch": System(
        title="PyTorch, float32", module="matmul_torch", environment="fuxictr"
    ),
}
"""What multiplies, by short name."""


def multiplication_rates(
    folder: Path, *, rounds: int, seconds: float
) -> dict[str, Spread]:
    """Returns GFLOP/s of a [4096, 429] by [429, 429] multiplication, by library."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(library, folder, 0))
            for name, library in LIBRARIES.items()
        }
        results = interleave(workers, rounds=rounds, seconds=seconds, least_steps=10)
    operations = 2 * shape.BATCH * shape.WIDTH * shape.WIDTH / 1e9
    return {
        name: spread([operations * rate for rate in result.steps_per_second])
        for name, result in results.items()
    }
