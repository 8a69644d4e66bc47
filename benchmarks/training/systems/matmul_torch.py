"""The rate of PyTorch's matrix multiplication (MKL, oneDNN) at the shape of a cross."""

import torch

from benchmarks.training import shape
from benchmarks.training.systems.arguments import read_arguments
from benchmarks.training.turns import Turns


def main() -> None:
    """Multiplies until told to stop; a "step" is one multiplication."""
    dtype = getattr(torch, read_arguments().precision)
    left = torch.randn(shape.BATCH, shape.WIDTH).to(dtype)
    right = torch.randn(shape.WIDTH, shape.WIDTH).to(dtype)
    turns = Turns({"torch": torch.__version__})
    with torch.inference_mode():
        while True:
            torch.mm(left, right)
            turns.step_done()


if __name__ == "__main__":
    main()
