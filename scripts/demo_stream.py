"""Everything at once: a stream of events is joined, learned, published and served.

    make demo-stream                # or: python -m scripts.demo_stream --seconds 300

A model is trained on the logs of some minutes and published. Then a generator plays
what comes after them, in real time, into Kafka (where Java and Maven are present; into
a growing folder otherwise), and the four processes of Pairstream follow it: label join,
trainer, publisher, and a server that loads each new version while it answers. A line
tells how it goes. All lies in the folder `demo-stream/`; the table at the end is there
too, as `demo-stream/summary.json`, and so is what each process printed, in `printed/`.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from configs import load_job
from configs.columns import raw_columns
from configs.durations import moment_ms
from scripts.demo_logs import cut_logs
from scripts.processes import Ended, Processes, interrupt_on_terminate, wait_for
from scripts.stream_watch import HEADER, Watch, mean_of, median_delays
from serving.client import Client

JOB = "configs/demo-stream.yaml"
FOLDER = Path("demo-stream")
START, PAST_SECONDS = "2026-01-01", 360
CHANGE_SECONDS = 40
"""Tastes change so long after the stream began, so that there is something to learn."""
WORLD = (
    "--users 500 --items 200 --taste 1.5 --history-length 10 --click-rate 0.1"
    " --conversion-rate 0.2 --click-window 2s --conversion-window 4s --click-delay 1s"
    " --conversion-delay 1s --disorder-share 0 --late-click-share 0.01"
    " --late-conversion-share 0.02"
)
"""What the generator makes; the windows are those of the job."""
CALM_SECONDS, DRAIN_SECONDS = 8, 60
"""All ends when everything has been learned for so long, or so long after the last
event. The very last rows stay open: no later event closes their windows."""
TOLD_SECONDS = 10.0
"""Between two lines where they go to a file."""
NAMES = {"model": "learner", "served": "served versions", "truth": "truth (best)"}
LOGS = {"impressions": "impressions", "click": "clicks", "conversion": "conversions"}


def main() -> None:
    """Runs all of it, and ends all of it, whatever happens."""
    options = parsed()
    interrupt_on_terminate()
    try:
        prepare(options)
        with source(options.source) as (name, settings):
            with Processes(FOLDER / "printed") as processes:
                watch = run(processes, options, settings)
                prediction = predict(watch)
                print("\n\nEnding all processes.", flush=True)
        summary = {"source": name, **summarize(watch, prediction)}
        (FOLDER / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        show(summary)
    except Ended as ended:
        sys.exit(f"\n{ended}\nAll other processes have been ended.")
    except KeyboardInterrupt:
        print("\nInterrupted. All processes have been ended.", file=sys.stderr)
        sys.exit(130)


def parsed() -> argparse.Namespace:
    """Returns the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=int, default=120, help="default: 120")
    parser.add_argument("--rate", type=int, default=650, help="impressions a second")
    parser.add_argument(
        "--source",
        choices=["kafka", "folder", "either"],
        default="either",
        help="what the events go through (default: Kafka if it can be started here)",
    )
    return parser.parse_args()


def prepare(options: argparse.Namespace) -> None:
    """Makes the logs, and a first version of the model from the past ones."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    span = PAST_SECONDS + options.seconds
    now = moment_ms(START) + 1_000 * PAST_SECONDS
    change = datetime.fromtimestamp(now / 1_000 + CHANGE_SECONDS, UTC).isoformat()
    sizes = ["--impressions", options.rate * span, "--span", f"{span}s"]
    pairstream(
        *("preprocessing", "synthesize", FOLDER / "world", "--start", START),
        *(*sizes, *WORLD.split(), "--taste-change", change),
    )
    past, coming = FOLDER / "past", FOLDER / "coming"
    cut_logs(FOLDER / "world", now, past=past, coming=coming)
    settings = [*paths(past), f"data.examples={past}/examples"]
    settings.append("preprocessing.split.validation=0.1")
    for command in ("preprocessing run", "trainer train", "serving publish --once"):
        room, name, *more = command.split()
        pairstream(room, name, JOB, *more, *words(settings))


def paths(folder: Path) -> list[str]:
    """Returns the settings that have the job read the synthetic logs of a folder."""
    places = {"impressions": "impressions", "click": "events.click"}
    places["conversion"] = "events.conversion"
    return [
        f"data.{place}.path={folder}/{LOGS[log]}-*.parquet"
        for log, place in places.items()
    ]


def pairstream(*arguments: object) -> None:
    """Shows a command and runs it."""
    command = ["-m", *map(str, arguments)]
    print(f"\n$ python {' '.join(command)}", flush=True)
    done = subprocess.run([sys.executable, *command])
    if done.returncode:
        sys.exit(done.returncode)


def words(settings: Sequence[str]) -> list[str]:
    """Returns settings as the words of a command."""
    return [word for setting in settings for word in ("--set", setting)]


@contextmanager
def source(wanted: str) -> Iterator[tuple[str, list[str]]]:
    """Yields what the events go through, `kafka` or `folder`, and the settings that say
    so to the job; a broker is stopped when the block ends."""
    reason = "it was asked for"
    if wanted != "folder":
        # Imported here: a folder needs no Kafka client.
        from scripts.kafka import Broker, jars, make_topic, reason_to_skip

        try:
            reason = reason_to_skip() or ""
            if not reason:
                print(
                    "\nStarting a Kafka broker (its jars are fetched once)", flush=True
                )
                jars()
        except RuntimeError as error:
            reason = str(error)
        if reason and wanted == "kafka":
            sys.exit(reason)
        if not reason:
            with Broker(FOLDER / "kafka") as broker:
                topics = {log: f"demo-{name}" for log, name in LOGS.items()}
                for topic in (*topics.values(), "demo-examples"):
                    make_topic(broker.servers, topic, 2)
                yield (
                    "kafka",
                    [
                        f"stream.kafka={json.dumps({'servers': broker.servers})}",
                        f"stream.join.topics={json.dumps(topics)}",
                        "stream.examples_topic=demo-examples",
                    ],
                )
            return
    print(f"\nEvents go through a folder: {reason}", flush=True)
    yield "folder", []


def run(
    processes: Processes, options: argparse.Namespace, settings: list[str]
) -> Watch:
    """Starts everything, shows how it goes, and returns what was seen."""
    watch = follow(processes, settings)
    wait_for(lambda: answers(watch), processes, seconds=300, what="served version")
    trainer = processes.log("trainer")
    # Its first line comes when the model is built.
    wait_for(lambda: trainer.stat().st_size > 0, processes, seconds=300, what="model")
    generate(processes, settings)
    print(f"\nLive; {FOLDER}/printed has what each process prints.\n", flush=True)
    print(f"  time{HEADER}", flush=True)
    coming = count_rows(FOLDER / "coming")
    began, told, busy = time.monotonic(), 0.0, time.monotonic()
    ended = None
    while (
        ended is None or busy + CALM_SECONDS > time.monotonic() < ended + DRAIN_SECONDS
    ):
        time.sleep(0.5)
        processes.check()
        watch.look()
        seconds = time.monotonic() - began
        if ended is None and not processes.running("generator"):
            ended = time.monotonic()
        if watch.records < coming or watch.learned < watch.published:
            busy = time.monotonic()
        if sys.stdout.isatty() or seconds >= told + TOLD_SECONDS:
            told = seconds
            tell(f"{seconds:4.0f} s{watch.line()}")
    return watch


def count_rows(folder: Path) -> int:
    """Returns how many records logs have together."""
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def follow(processes: Processes, settings: list[str]) -> Watch:
    """Starts the four processes that follow the stream."""
    job = load_job(JOB)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    where = [job.data.models, "--name", job.name, "--port", port]
    commands = {
        "server": ["serving", "serve", *where],
        "publisher": ["serving", "publish", JOB, "--watch", *words(settings)],
        "trainer": ["trainer", "stream", JOB, *words(settings)],
        "join": ["preprocessing", "stream", JOB, *words(settings)],
    }
    for name, command in commands.items():
        start(processes, name, command)
    return Watch(job, Client(f"http://127.0.0.1:{port}", job.name, timeout=2.0))


def generate(processes: Processes, settings: list[str]) -> None:
    """Starts the generator: it plays the coming logs from now on, in real time."""
    target = ["--to", "kafka"] if settings else ["--out", str(FOLDER / "logs")]
    command = ["preprocessing", "replay", JOB, "--shift-to-now", *target]
    command += words([*paths(FOLDER / "coming"), *settings])
    start(processes, "generator", command, may_end=True)


def start(
    processes: Processes, name: str, command: list[str], *, may_end: bool = False
) -> None:
    """Shows a command and starts it."""
    print(f"$ python -m {' '.join(command)}", flush=True)
    processes.start(name, [sys.executable, "-m", *command], may_end=may_end)


def answers(watch: Watch) -> bool:
    """Returns whether the server has a version."""
    watch.look()
    return bool(watch.served)


def tell(text: str) -> None:
    """Shows the line that lives: one that changes, or in a file line after line."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{text[:width]:<{width}}", end="", flush=True)
    else:
        print(text, flush=True)


def predict(watch: Watch) -> dict[str, Any]:
    """Asks the server about one row of the log, over HTTP."""
    row = pq.read_table(f"{FOLDER}/coming/impressions-00000.parquet").slice(0, 1)
    instance = row.select(list(raw_columns(watch.job))).to_pylist()[0]
    return {
        "instance": instance,
        "prediction": watch.client.predict([instance])[0],
        "true_click_probability": row["click_truth"][0].as_py(),
    }


def summarize(watch: Watch, prediction: dict[str, Any]) -> dict[str, Any]:
    """Collects the figures."""
    windows = watch.windows
    metrics = {
        metric: {
            of: mean_of(windows, metric, of) for of in ("model", "served", "truth")
        }
        for metric in ("auc", "log_loss", "calibration")
    }
    return {
        "processors": os.cpu_count(),
        "events": watch.records,
        "counters": watch.counters,
        "windows": len(windows),
        "rows_learned": watch.learned,
        "progressive": metrics,
        "versions": {
            version: {"step": step, "served": version in watch.served}
            for version, step in sorted(watch.steps.items())
        },
        "decisions": watch.decisions,
        "seconds": median_delays(watch),
        "served": prediction,
    }


def show(summary: dict[str, Any]) -> None:
    """Prints the summary as a table."""
    print("\nWhat happened\n")
    line("events", f"through {summary['source']}", f"{summary['events']:,}")
    for name, value in summary["counters"].items():
        if "carried" in name:  # from batch to batch: the same record many times
            continue
        line("join", name.replace("_", " "), f"{value:,}")
    line("trainer", "rows learned", f"{summary['rows_learned']:,}")
    line("trainer", "windows", f"{summary['windows']:,}")
    for metric, values in summary["progressive"].items():
        for of, value in values.items():
            if value is not None:
                name = f"click {metric.replace('_', ' ')} of the {NAMES[of]}"
                line("progressive", name, f"{value:.4f}")
    for version, found in summary["versions"].items():
        served = "served" if found["served"] else "not served yet"
        line("versions", f"version {version}", f"step {found['step']:,}, {served}")
    for decision in summary["decisions"]:
        if decision["action"] == "rejected":
            reason = textwrap.shorten(decision["reasons"][0], 72, placeholder=" ...")
            line("publisher", f"step {decision['step']:,} rejected", reason)
    for name, value in (summary["seconds"] or {}).items():
        line("seconds", name, f"{value:.1f}")
    served = summary["served"]
    line("served", "prediction over HTTP", json.dumps(served["prediction"]))
    line("served", "true click probability", f"{served['true_click_probability']:.4f}")
    print(f"\nThe same in {FOLDER}/summary.json")


def line(stage: str, name: str, value: str) -> None:
    """Prints one line of the table."""
    print(f"  {stage:<14}{name:<54}{value}")


if __name__ == "__main__":
    main()
