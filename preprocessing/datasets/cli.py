"""Commands that make logs: `synthesize` and `convert`."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

__all__ = ["add_commands"]

_Subparsers = Any
"""What `ArgumentParser.add_subparsers` returns; argparse keeps its type private."""


def add_commands(subparsers: _Subparsers) -> None:
    """Adds the commands; each sets `run`, a function of the parsed arguments."""
    _add_synthesize(subparsers)


def _add_synthesize(subparsers: _Subparsers) -> None:
    parser = subparsers.add_parser(
        "synthesize",
        help="generate logs whose true probabilities are known",
        description="Writes impressions, clicks and conversions to the folder OUT, with"
        " the true probabilities in the columns click_truth and conversion_truth.",
    )
    parser.add_argument("out", metavar="OUT", type=Path)
    numbers = [
        ("--impressions", int, "rows of the impression log (default 1000000)"),
        ("--users", int, "default 50000"),
        ("--items", int, "default 10000"),
        ("--days", int, "length of the log (default 8)"),
        ("--start", str, "its first day (default 2026-01-01)"),
        ("--click-rate", float, "mean true click probability, 0.001 to 0.25"),
        ("--conversion-rate", float, "the same of conversion given click"),
        ("--click-window", str, "attribution window (default 30m)"),
        ("--conversion-window", str, "from the impression (default 1d)"),
        ("--request-size", int, "mean impressions of a request (default 4)"),
        ("--history-length", int, "last clicks logged with each row (default 20)"),
        ("--taste", float, "strength of the users' tastes (default 1)"),
        ("--drift", float, "how far categories' appeal moves (default 0)"),
        ("--late-click-share", float, "clicks after the window (default 0.02)"),
        ("--late-conversion-share", float, "the same (default 0.1)"),
        ("--duplicate-share", float, "rows logged twice (default 0.005)"),
        ("--orphan-share", float, "events of unknown rows (default 0.002)"),
        ("--disorder-share", float, "rows logged late (default 0.02)"),
        ("--seed", int, "default 0"),
        ("--rows-per-file", int, "default 1000000"),
    ]
    for option, kind, explanation in numbers:
        parser.add_argument(
            option, type=kind, default=argparse.SUPPRESS, help=explanation
        )
    parser.add_argument(
        "--no-history",
        dest="history_length",
        action="store_const",
        const=0,
        default=argparse.SUPPRESS,
        help="log no histories",
    )
    parser.add_argument(
        "--format",
        dest="log_format",
        choices=["parquet", "jsonl", "jsonl.gz"],
        default=argparse.SUPPRESS,
        help="default parquet",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    parser.set_defaults(run=_synthesize)


def _synthesize(arguments: argparse.Namespace) -> None:
    # Imported here so that --help needs no NumPy.
    from preprocessing.datasets.synthesis_settings import SynthesisSettings
    from preprocessing.datasets.synthesize import synthesize

    known = {field.name for field in dataclasses.fields(SynthesisSettings)}
    chosen = {k: v for k, v in vars(arguments).items() if k in known}
    figures = synthesize(
        SynthesisSettings(**chosen), arguments.out, overwrite=arguments.overwrite
    )
    print(json.dumps(figures, indent=2))
