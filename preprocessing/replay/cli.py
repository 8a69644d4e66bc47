"""The command `replay`."""

import argparse
from pathlib import Path
from typing import Any

from configs.command import add_job_arguments, job_from
from configs.errors import JobError

__all__ = ["add_replay"]


def add_replay(commands: Any) -> None:
    """Adds the command to the subparsers of `python -m preprocessing`."""
    parser = commands.add_parser(
        "replay",
        help="play the logs of a job as if they were just being written",
        description="Plays the logs of JOB in the order of their times, into a folder"
        " of JSONL files that appear whole (OUT/impressions, and a folder for each"
        " label's events), or into the Kafka topics of stream.join.topics.",
        allow_abbrev=False,
    )
    add_job_arguments(parser)
    parser.add_argument(
        "--to",
        choices=["folder", "kafka"],
        default="folder",
        help="where the records go (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, help="the folder")
    parser.add_argument(
        "--overwrite", action="store_true", help="remove what an earlier replay wrote"
    )
    parser.add_argument(
        "--partitions",
        type=int,
        metavar="N",
        help="of Kafka topics that are not there yet: they are made",
    )
    _add_pace(parser)
    parser.set_defaults(run=_replay)


def _add_pace(parser: argparse.ArgumentParser) -> None:
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="X",
        help="seconds of the logs in a second, or `max` for no waiting (default: 1)",
    )
    pace.add_argument(
        "--rate",
        type=_above_zero,
        metavar="N",
        help="records a second on the average, which sets the speed",
    )
    times = parser.add_mutually_exclusive_group()
    times.add_argument(
        "--shift-to-now",
        action="store_true",
        help="move all times alike, so that the newest record is played at its time",
    )
    times.add_argument(
        "--compress",
        action="store_true",
        help="shrink spans with the speed, so that every record is played at its time;"
        " windows of the job have to be as much shorter",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="play the first N records by time"
    )
    parser.add_argument(
        "--interval",
        type=_above_zero,
        default=1.0,
        metavar="SECONDS",
        help="between files, or between sends (default: %(default)s)",
    )


def _replay(arguments: argparse.Namespace) -> int:
    job = job_from(arguments)
    from configs.stream_rules import stream_logs
    from preprocessing.replay.folder import FolderTarget
    from preprocessing.replay.play import ReplayTarget, replay
    from preprocessing.replay.settings import ReplaySettings

    target: ReplayTarget
    if arguments.to == "folder":
        if arguments.out is None:
            raise JobError("replay --to folder: name the folder, --out build/logs")
        target = FolderTarget(
            arguments.out, stream_logs(job), overwrite=arguments.overwrite
        )
    else:
        from preprocessing.replay.kafka import KafkaTarget

        target = KafkaTarget(job, make_partitions=arguments.partitions)
    settings = ReplaySettings(
        speed=arguments.speed,
        rate=arguments.rate,
        limit=arguments.limit,
        shift_to_now=arguments.shift_to_now,
        compress=arguments.compress,
        interval=arguments.interval,
    )
    played = replay(job, target, settings)
    print(f"played {played:,} records")
    return 0


def _speed(text: str) -> float | None:
    return None if text == "max" else _above_zero(text)


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value
