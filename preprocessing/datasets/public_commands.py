"""The subcommands of `convert` for the public data sets that papers report on."""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

__all__ = ["add_public_sets"]

_Option = tuple[str, Callable[[str], Any], str]


@dataclasses.dataclass(frozen=True)
class _DataSet:
    """A subcommand.

    Attributes:
        name: of the subcommand.
        explanation: one line of help.
        description: what SOURCE is.
        module: of `preprocessing.datasets`, imported only when it runs.
        function: of the module; takes source, target and settings.
        rules: a dataclass of the module that takes the options, and is the function's
            fourth argument; or None, and options are its keywords.
        options: name, type, help.
    """

    name: str
    explanation: str
    description: str
    module: str
    function: str
    rules: str | None = None
    options: tuple[_Option, ...] = ()


_SHARE: _Option = (
    "--validation-share",
    float,
    "of the training rows, set aside for validation",
)
_SEED: _Option = ("--seed", int, "of what is drawn")
_BUCKETS: _Option = ("--buckets", int, "of users; more need less memory each")
_LENGTH: _Option = ("--history-length", int, "most recent behaviours of a row")

_SETS = (
    _DataSet(
        "criteo-x1",
        "Criteo_x1, the split of the BARS benchmark",
        "SOURCE is the folder with train.csv, valid.csv and test.csv (header: label,"
        " I1..I13, C1..C26).",
        "criteo_x1",
        "convert_criteo_x1",
    ),
    _DataSet(
        "avazu",
        "Avazu_x4, or the contest's train.csv",
        "SOURCE is the folder with train.csv, valid.csv and test.csv of Avazu_x4, or"
        " the contest's train.csv.",
        "avazu",
        "convert_avazu",
    ),
    _DataSet(
        "aliexpress",
        "AliExpress's search logs of one country",
        "SOURCE is a folder such as AliExpress_NL, with train.csv and test.csv. A share"
        " of the searches can be set aside for validation (default: none, as"
        " published).",
        "aliexpress",
        "convert_aliexpress",
        options=(_SHARE, _SEED),
    ),
    _DataSet(
        "ali-ccp",
        "Ali-CCP's skeletons and common features",
        "SOURCE is the folder with sample_skeleton_train.csv,"
        " common_features_train.csv, and the same of the test split. A tenth of the"
        " training rows validates, as published.",
        "ali_ccp",
        "convert_ali_ccp",
        options=(_SHARE, _SEED),
    ),
    _DataSet(
        "taobao-behaviors",
        "Taobao's UserBehavior.csv, by the rules of MIMN, CAN and AT4CTR",
        "SOURCE is UserBehavior.csv. Each user gives one row, or one and --negatives"
        " more.",
        "taobao_behaviors",
        "convert_taobao_behaviors",
        "BehaviorRules",
        (
            ("--min-behaviors", int, "users with fewer are dropped (default 10)"),
            ("--test-share", float, "of the users, the latest (default 0.3)"),
            ("--negatives", int, "drawn items of a user; 0 tosses a coin (default 0)"),
            _LENGTH,
            _SEED,
            _BUCKETS,
        ),
    ),
    _DataSet(
        "taobao-ads",
        "Taobao's display ads with their tables",
        "SOURCE is the folder with raw_sample.csv, ad_feature.csv, user_profile.csv"
        " and, for histories, behavior_log.csv.",
        "taobao_ads",
        "convert_taobao_ads",
        "AdRules",
        (_LENGTH, _BUCKETS),
    ),
    _DataSet(
        "movielens",
        "MovieLens-20M, by the rules of DIN",
        "SOURCE is the folder with ratings.csv and movies.csv. A row is a rating; the"
        " label is 4 stars or more.",
        "movielens",
        "convert_movielens",
        "MovieLensRules",
        (
            ("--train-share", float, "of the users (default 100,000 of 138,493)"),
            _LENGTH,
            _SEED,
            _BUCKETS,
        ),
    ),
)


def add_public_sets(
    sets: Any, add_common: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Adds the subcommands; each sets `run`.

    Args:
        sets: the subparsers of `convert`.
        add_common: adds SOURCE, OUT and the options of the log.
    """
    for data_set in _SETS:
        parser = sets.add_parser(
            data_set.name,
            help=data_set.explanation,
            description=f"{data_set.description} Files may be gzip (.gz). Writes"
            " impressions and summary.json to the folder OUT.",
        )
        add_common(parser)
        for option, kind, explanation in data_set.options:
            parser.add_argument(
                option, type=kind, default=argparse.SUPPRESS, help=explanation
            )
        if data_set.name == "taobao-ads":
            parser.add_argument(
                "--keep-incomplete",
                action="store_true",
                default=argparse.SUPPRESS,
                help="keep rows whose user has no profile",
            )
        parser.set_defaults(run=_runner(data_set))


def _runner(data_set: _DataSet) -> Callable[[argparse.Namespace], None]:
    def run(arguments: argparse.Namespace) -> None:
        module = import_module(f"preprocessing.datasets.{data_set.module}")
        conversion = import_module("preprocessing.datasets.conversion")
        settings = conversion.LogSettings(
            overwrite=arguments.overwrite,
            **_given(arguments, ["log_format", "rows_per_file"]),
        )
        convert = getattr(module, data_set.function)
        paths = (arguments.source, arguments.out, settings)
        if data_set.rules is not None:
            kind = getattr(module, data_set.rules)
            names = [field.name for field in dataclasses.fields(kind)]
            summary = convert(*paths, kind(**_given(arguments, names)))
        else:
            names = [option[2:].replace("-", "_") for option, _, _ in data_set.options]
            summary = convert(*paths, **_given(arguments, names))
        print(json.dumps(summary, indent=2))

    return run


def _given(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Returns those of the options `names` that were given; others keep defaults."""
    return {name: vars(arguments)[name] for name in names if name in arguments}
