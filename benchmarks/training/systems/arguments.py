"""What every system's module is started with."""

import argparse
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Arguments", "read_arguments"]

CACHED_BATCHES = 8


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """How to run.

    Attributes:
        folder: with the rows.
        total: rows of all tables.
        precision: float32 or bfloat16.
        cached: train on a few batches made beforehand, without loader and files.
        variant: of the system; see there.
    """

    folder: Path
    total: int
    precision: str
    cached: bool
    variant: str


def read_arguments() -> Arguments:
    """Returns the arguments of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--total", type=int, required=True)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--variant", default="")
    return Arguments(**vars(parser.parse_args()))
