"""Compares training with FuxiCTR, DeepCTR and plain Keras, and writes RESULTS.md.

    python -m benchmarks.training                 all parts, about half an hour
    python -m benchmarks.training speed --quick   about three minutes
    python -m benchmarks.training parity SOURCE   quality of the optimizers on Criteo
    python -m benchmarks.training replicas        devices, workers and traffic

The first run makes an environment for each rival (7 GB, in ~/.cache or in the folder
that PAIRSTREAM_BENCHMARKS names). Each part leaves its tables in a folder of that
cache; RESULTS.md is put together from the parts that there are.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.training import shape
from benchmarks.training.environments import CACHE, REQUIREMENTS, python_of
from benchmarks.training.results import write_part, write_results

__all__ = ["main"]

_GIBIBYTES_LEFT = 3


def main() -> None:
    """Runs the parts named on the command line."""
    arguments = _parser().parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if arguments.part in ("all", "speed"):
        _speed(arguments)
    if arguments.part in ("all", "replicas"):
        from benchmarks.training.replicas import replicas

        write_part("replicas", replicas(CACHE, steps=arguments.steps))
    if arguments.part == "parity" or (arguments.part == "all" and arguments.source):
        if arguments.source is None:
            sys.exit(
                "parity needs SOURCE, the first 80,000 lines of Criteo's train.txt"
            )
        from benchmarks.training.parity import parity

        write_part("parity", parity(arguments.source, CACHE, seeds=arguments.seeds))
    write_results(arguments.output)
    print(f"wrote {arguments.output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description=(__doc__ or "").split("\n")[0]
    )
    parts = ["all", "speed", "replicas", "parity", "report"]
    parser.add_argument("part", nargs="?", default="all", choices=parts)
    parser.add_argument("source", nargs="?", type=Path, help="of parity: Criteo's rows")
    parser.add_argument("--quick", action="store_true", help="few, short turns")
    parser.add_argument("--sizes", nargs="+", choices=list(shape.SIZES))
    parser.add_argument("--systems", nargs="+", help="short names; all unless given")
    parser.add_argument("--rounds", type=int, help="turns of each system")
    parser.add_argument("--seconds", type=float, help="of a turn")
    parser.add_argument("--seeds", type=int, default=5, help="of parity")
    parser.add_argument("--steps", type=int, default=50, help="of replicas")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("RESULTS.md")
    )
    return parser


def _speed(arguments: argparse.Namespace) -> None:
    from benchmarks.training.speed import Pace
    from benchmarks.training.speed_part import speed_part
    from benchmarks.training.workers import SYSTEMS

    for environment in REQUIREMENTS:
        python_of(environment)
    quick = arguments.quick
    pace = Pace(
        rounds=arguments.rounds or (3 if quick else 7),
        seconds=arguments.seconds or (1.0 if quick else 2.5),
        least_steps=2,
        batches=32 if quick else 128,
    )
    sizes = arguments.sizes or (["1M", "4M"] if quick else list(shape.SIZES))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    names = arguments.systems or list(SYSTEMS)
    unknown = set(names) - set(SYSTEMS)
    if unknown:
        sys.exit(f"no such systems: {sorted(unknown)}; there are {list(SYSTEMS)}")
    text = speed_part(
        CACHE, names, sizes, pace=pace, mebibytes=memory - _GIBIBYTES_LEFT * 1024
    )
    write_part("speed", text)


if __name__ == "__main__":
    main()
