"""The main job from end to end: logs in, a served and calibrated prediction out.

Reading this file teaches the product: it runs the commands of the three packages in
the order in which you would run them on logs of your own, and then shows what happened
on the way. Everything lies in the folder `demo/`; the table that it prints is there
too, as `demo/summary.json`.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from configs import load_job
from configs.columns import raw_columns
from configs.manifest import read_manifest
from serving.client import Client

JOB = "configs/demo.yaml"
FOLDER = Path("demo")
SPLITS = ("train", "validation", "test")
OVER = "--overwrite"
LOGS = (
    "--impressions 600000 --users 8000 --items 2000 --days 9 --click-rate 0.06"
    " --conversion-rate 0.15"
)


def main() -> None:
    """Runs the job and shows what came of it."""
    started = time.monotonic()
    pairstream("preprocessing", "synthesize", FOLDER / "logs", *LOGS.split(), OVER)
    pairstream("preprocessing", "run", JOB, OVER)
    pairstream("trainer", "train", JOB, OVER)
    for split in SPLITS:
        output = FOLDER / f"evaluation-{split}.json"
        pairstream("trainer", "evaluate", JOB, "--split", split, "--output", output)
    pairstream("serving", "export", JOB)
    with serving() as address:
        prediction = predict(address)
    summary = summarize(prediction, seconds=time.monotonic() - started)
    (FOLDER / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    show(summary)


def pairstream(*arguments: object) -> None:
    """Shows a command and runs it."""
    words = ["-m", *map(str, arguments)]
    print(f"\n$ python {' '.join(words)}", flush=True)
    done = subprocess.run([sys.executable, *words])
    if done.returncode:
        sys.exit(done.returncode)


@contextmanager
def serving() -> Iterator[str]:
    """Runs the server on a free loopback port; yields its address."""
    job = load_job(JOB)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ["-m", "serving", "serve", job.data.models]
    words += ["--name", job.name, "--port", str(port)]
    print(f"\n$ python {' '.join(words)}", flush=True)
    server = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def predict(address: str) -> dict[str, Any]:
    """Asks the server about one row of the log, over HTTP."""
    job = load_job(JOB)
    client = Client(address, job.name)
    client.wait_until_available()
    row = pq.read_table(f"{FOLDER}/logs/impressions-00000.parquet").slice(0, 1)
    instance = row.select(list(raw_columns(job))).to_pylist()[0]
    answer = client.predict([instance])[0]
    return {
        "url": f"{address}/v1/models/{job.name}:predict",
        "instance": instance,
        "prediction": answer,
        "true_click_probability": row["click_truth"][0].as_py(),
    }


def summarize(prediction: dict[str, Any], *, seconds: float) -> dict[str, Any]:
    """Collects the figures that the stages wrote."""
    job = load_job(JOB)
    manifest = read_manifest(job.data.examples)
    version = max(Path(job.data.models).glob("[0-9]*"), key=lambda p: int(p.name))
    report = json.loads((version / "assets.extra" / "export.json").read_text())
    evaluations = {
        split: json.loads((FOLDER / f"evaluation-{split}.json").read_text())
        for split in SPLITS
    }
    return {
        "minutes": round(seconds / 60, 1),
        "processors": os.cpu_count(),
        "preprocessing": {
            "counters": manifest.counters,
            "dead_letters": manifest.dead_letters,
            "rows": {name: split.rows for name, split in manifest.splits.items()},
        },
        "evaluation": evaluations,
        "variables": report["variables"],
        "export": {"folder": str(version), "golden": report["golden"]},
        "served": prediction,
    }


def show(summary: dict[str, Any]) -> None:
    """Prints the summary as a table."""
    print("\nWhat happened\n")
    counters = summary["preprocessing"]["counters"]
    for name, value in counters.items():
        line("records", name.replace("_", " "), f"{value:,}")
    for reason, value in summary["preprocessing"]["dead_letters"].items():
        line("dead letters", reason.replace("_", " "), f"{value:,}")
    for split, rows in summary["preprocessing"]["rows"].items():
        line("examples", split, f"{rows:,}")
    for split, report in summary["evaluation"].items():
        for task, metrics in report["tasks"].items():
            truth = metrics["truth"] or {}
            for metric in ("auc", "log_loss", "calibration"):
                value = f"{metrics[metric]:.4f}"
                if truth.get(metric) is not None:
                    value += f"   best reachable {truth[metric]:.4f}"
                line(split, f"{task} {metric.replace('_', ' ')}", value)
    variables = summary["variables"]
    line("variables", "in the training model", str(variables["training"]))
    line("variables", "in the export", str(variables["export"]))
    served = summary["served"]
    line("served", "prediction over HTTP", json.dumps(served["prediction"]))
    line("served", "true click probability", f"{served['true_click_probability']:.4f}")
    print(f"\n{summary['minutes']} minutes; the same in {FOLDER}/summary.json")


def line(stage: str, name: str, value: str) -> None:
    """Prints one line of the table."""
    print(f"  {stage:<14}{name:<44}{value}")


if __name__ == "__main__":
    main()
