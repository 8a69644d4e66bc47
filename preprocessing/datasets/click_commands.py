"""The command `convert clicks`."""

import argparse
import json
from collections.abc import Callable
from typing import Any

__all__ = ["add_clicks"]


def add_clicks(
    sets: Any, add_common: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Adds the command to the subparsers of `convert`."""
    parser = sets.add_parser(
        "clicks",
        help="any log of clicks alone",
        description="Makes a request of each click of a log without impressions: the"
        " clicked item, and items drawn from the clicks of the hours before. Writes"
        " impressions and clicks to the folder OUT.",
    )
    add_common(parser)
    parser.add_argument("--user", required=True, metavar="COLUMN")
    parser.add_argument("--item", required=True, metavar="COLUMN")
    parser.add_argument("--time", required=True, metavar="COLUMN")
    parser.add_argument(
        "--unit",
        choices=["s", "ms", "us", "ns", "iso"],
        default="ms",
        help="of the time (default ms)",
    )
    parser.add_argument(
        "--context",
        default="",
        metavar="COLUMNS",
        help="columns that go along, separated by commas",
    )
    options = [
        ("--negatives", int, 4, "items drawn for each click (default 4)"),
        ("--window", str, "6h", "they were clicked in this time before (default 6h)"),
        ("--history-length", int, 20, "last clicks that a row has (default 20)"),
        ("--last", int, None, "make requests of so many last clicks only"),
        ("--seed", int, 0, "of the draws"),
    ]
    for option, kind, default, explanation in options:
        parser.add_argument(option, type=kind, default=default, help=explanation)
    parser.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> None:
    from preprocessing.datasets.clicks import (
        ClickColumns,
        DrawSettings,
        draw_impressions,
        read_log,
    )

    columns = ClickColumns(
        user=arguments.user,
        item=arguments.item,
        time=arguments.time,
        unit=arguments.unit,
        context=tuple(name for name in arguments.context.split(",") if name),
    )
    names = ("negatives", "window", "history_length", "last", "seed")
    given = {name: vars(arguments)[name] for name in names}
    given |= {
        name: vars(arguments)[name]
        for name in ("log_format", "rows_per_file")
        if name in arguments
    }
    counts = draw_impressions(
        read_log(str(arguments.source), columns),
        arguments.out,
        DrawSettings(**given),
        overwrite=arguments.overwrite,
    )
    print(json.dumps(counts, indent=2))
