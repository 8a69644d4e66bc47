"""Commands that make logs: `synthesize` and `convert`."""

import argparse
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from preprocessing.datasets.click_commands import add_clicks
from preprocessing.datasets.public_commands import add_public_sets

__all__ = ["add_commands"]

_Subparsers = Any
"""What `ArgumentParser.add_subparsers` returns; argparse keeps its type private."""


def add_commands(subparsers: _Subparsers) -> None:
    """Adds the commands; each sets `run`, a function of the parsed arguments."""
    _add_synthesize(subparsers)
    parser = subparsers.add_parser(
        "convert", help="bring a public data set to the form of logs"
    )
    sets = parser.add_subparsers(title="data sets", metavar="SET", required=True)
    _add_criteo(sets)
    _add_globo(sets)
    add_clicks(sets, _add_common)
    add_public_sets(sets, _add_common)


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
        ("--span", str, "its length, such as 10m, instead of days"),
        ("--start", str, "its first day (default 2026-01-01)"),
        ("--click-rate", float, "mean true click probability, 0.001 to 0.25"),
        ("--conversion-rate", float, "the same of conversion given click"),
        ("--click-window", str, "attribution window (default 30m)"),
        ("--conversion-window", str, "from the impression (default 1d)"),
        ("--click-delay", str, "median time to a click (default 15s)"),
        ("--conversion-delay", str, "from click to conversion (default 1h)"),
        ("--request-size", int, "mean impressions of a request (default 4)"),
        ("--history-length", int, "last clicks logged with each row (default 20)"),
        ("--taste", float, "strength of the users' tastes (default 1)"),
        ("--drift", float, "how far categories' appeal moves (default 0)"),
        ("--taste-change", str, "moment from which on users have other tastes"),
        ("--late-click-share", float, "clicks after the window (default 0.02)"),
        ("--late-conversion-share", float, "the same (default 0.1)"),
        ("--duplicate-share", float, "rows logged twice (default 0.005)"),
        ("--orphan-share", float, "events of unknown rows (default 0.002)"),
        ("--disorder-share", float, "rows logged late (default 0.02)"),
        ("--seed", int, "default 0"),
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
    _add_files(parser)
    parser.set_defaults(run=_synthesize)


def _synthesize(arguments: argparse.Namespace) -> None:
    # Imported here so that --help needs no NumPy.
    from preprocessing.datasets.synthesis_settings import SynthesisSettings
    from preprocessing.datasets.synthesize import synthesize

    known = [field.name for field in dataclasses.fields(SynthesisSettings)]
    figures = synthesize(
        SynthesisSettings(**_chosen(arguments, known)),
        arguments.out,
        overwrite=arguments.overwrite,
    )
    print(json.dumps(figures, indent=2))


def _add_criteo(subparsers: _Subparsers) -> None:
    parser = subparsers.add_parser(
        "criteo",
        help="Criteo's train.txt",
        description="Writes the impressions of a file of the layout of Criteo's"
        " train.txt (plain or .gz) to the folder OUT. The number of a line, from 0, is"
        " its id and its time.",
    )
    _add_common(parser)
    parser.set_defaults(run=_convert_criteo)


def _convert_criteo(arguments: argparse.Namespace) -> None:
    from preprocessing.datasets.criteo import convert_criteo

    counts = convert_criteo(
        arguments.source,
        arguments.out,
        overwrite=arguments.overwrite,
        **_chosen(arguments, ["log_format", "rows_per_file"]),
    )
    print(json.dumps(counts, indent=2))


def _add_globo(subparsers: _Subparsers) -> None:
    parser = subparsers.add_parser(
        "globo",
        help="the Globo.com click log",
        description="Makes a request of each click of globo_clicks.csv (plain or .gz):"
        " the clicked article, and articles drawn from the clicks of the hours before."
        " Writes impressions and clicks to the folder OUT.",
    )
    _add_common(parser)
    options = [
        ("--negatives", int, "articles drawn for each click (default 4)"),
        ("--window", str, "they were clicked in this time before (default 6h)"),
        ("--history-length", int, "last clicks that a row has (default 20)"),
        ("--until", str, "end of that time, not included (default: to the end)"),
        ("--seed", int, "of the draws (default 0)"),
    ]
    for option, kind, explanation in options:
        parser.add_argument(
            option, type=kind, default=argparse.SUPPRESS, help=explanation
        )
    parser.add_argument(
        "--from",
        dest="start",
        default=argparse.SUPPRESS,
        help="first moment whose clicks become impressions, such as 2017-10-10 or"
        " 2017-10-10T12:00 (default: all)",
    )
    parser.set_defaults(run=_convert_globo)


def _convert_globo(arguments: argparse.Namespace) -> None:
    from preprocessing.datasets.globo import GloboSettings, convert_globo

    known = [field.name for field in dataclasses.fields(GloboSettings)]
    counts = convert_globo(
        arguments.source,
        arguments.out,
        GloboSettings(**_chosen(arguments, known)),
        overwrite=arguments.overwrite,
    )
    print(json.dumps(counts, indent=2))


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", type=Path)
    parser.add_argument("out", metavar="OUT", type=Path)
    _add_files(parser)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        dest="log_format",
        choices=["parquet", "jsonl", "jsonl.gz"],
        default=argparse.SUPPRESS,
        help="of the files (default parquet)",
    )
    parser.add_argument(
        "--rows-per-file",
        type=int,
        default=argparse.SUPPRESS,
        help="begin a new file after this many rows",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")


def _chosen(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Returns those of the options `names` that were given; others keep defaults."""
    return {name: vars(arguments)[name] for name in names if name in arguments}
