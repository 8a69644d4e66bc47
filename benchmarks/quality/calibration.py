"""Does the exported model predict the true rate after negatives were dropped?

    python -m benchmarks.quality.calibration [--folder data/calibration]

Synthetic logs with a click rate of 2%. The training days are down-sampled, once at one
rate and once at two rates by device; each is trained with and without the correction,
and exported. The exported models score every raw row of the days that follow, which
nobody down-sampled, and their mean is compared with the clicks that were logged: those
are joined here once more, without Pairstream's code.
"""

import argparse
import gzip
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from benchmarks.quality.experiment import pairstream

JOB = "benchmarks/quality/calibration.yaml"
WINDOW_MS = 30 * 60_000
TEST_FROM_MS, TEST_UNTIL_MS = 1_767_614_400_000, 1_767_913_200_000
"""2026-01-05T12:00 and 2026-01-08T23:00, as in the job's split."""

SAMPLINGS = {
    "one rate (0.1)": [],
    "by device (phone 0.05, others 0.2)": [
        "preprocessing.sampling={negative_keep_rate: 0.2,"
        " slices: {feature: device, rates: {phone: 0.05}}}"
    ],
}
CORRECTIONS = ("logit_shift", "none")


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("data/calibration"))
    parser.add_argument("--impressions", type=int, default=3_200_000)
    arguments = parser.parse_args()
    folder = arguments.folder
    if not (folder / "logs").exists():
        pairstream(
            *("preprocessing", "synthesize", folder / "logs", "--no-history"),
            *("--impressions", arguments.impressions, "--click-rate", 0.02),
            *("--days", 8, "--users", 50_000, "--items", 5_000),
        )
    rows = folder / "test.jsonl.gz"
    if not rows.exists():
        write_test_rows(folder / "logs", rows)
    heading = "sampling | correction | slice | rows | observed | predicted"
    print(f"| {heading} | predicted / observed (se) | predicted / true |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for sampling, settings in SAMPLINGS.items():
        slug = "slices" if settings else "one"
        for correction in CORRECTIONS:
            predictions = predict(folder, slug, settings, correction, rows)
            for line in compare(rows, predictions):
                print(f"| {sampling} | {correction} | {line} |", flush=True)


def write_test_rows(logs: Path, output: Path) -> None:
    """Writes each impression of the test days once, as logged, with its label."""
    first_click: dict[str, list[int]] = defaultdict(list)
    for path in sorted(logs.glob("clicks-*.parquet")):
        clicks = pq.read_table(path, columns=["impression_id", "timestamp_ms"])
        for key, moment in zip(*(c.to_pylist() for c in clicks.columns), strict=True):
            first_click[key].append(moment)
    seen: set[str] = set()
    with gzip.open(output, "wb", compresslevel=1) as file:
        for path in sorted(logs.glob("impressions-*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches():
                for row in batch.to_pylist():
                    key, moment = row["impression_id"], row["timestamp_ms"]
                    if key in seen or not TEST_FROM_MS <= moment < TEST_UNTIL_MS:
                        continue
                    seen.add(key)
                    row["label"] = any(
                        0 <= t - moment <= WINDOW_MS for t in first_click.get(key, ())
                    )
                    file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def predict(
    folder: Path, slug: str, sampling: list[str], correction: str, rows: Path
) -> Path:
    """Returns the exported model's predictions, made unless they are there."""
    output = folder / f"predictions-{slug}-{correction}.jsonl"
    if output.exists():
        return output
    settings = [
        f"data.impressions.path={folder}/logs/impressions-*.parquet",
        f"data.events.click.path={folder}/logs/clicks-*.parquet",
        f"data.examples={folder}/examples-{slug}",
        f"data.run={folder}/run-{slug}-{correction}",
        f"data.models={folder}/models-{slug}-{correction}",
        f"model.tasks.click.correction={correction}",
        *sampling,
    ]
    options = [word for item in settings for word in ("--set", item)]
    if not (folder / f"examples-{slug}").exists():
        pairstream("preprocessing", "run", JOB, *options)
    pairstream("trainer", "train", JOB, "--overwrite", *options)
    pairstream("serving", "export", JOB, "--version", 1, *options)
    model = folder / f"models-{slug}-{correction}" / "1"
    pairstream("serving", "predict", model, rows, "--output", output)
    return output


def compare(rows: Path, predictions: Path) -> list[str]:
    """Returns a line for all rows and for each slice: rows, rates, their ratios."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 4)
    with gzip.open(rows) as logged, open(predictions, encoding="utf-8") as predicted:
        for row_line, line in zip(logged, predicted, strict=True):
            row: dict[str, Any] = orjson.loads(row_line)
            values = 1, row["label"], json.loads(line)["click"], row["click_truth"]
            others = "phone" if row["device"] == "phone" else "all but phone"
            for name in {"all", others, row["device"]}:
                sums[name] = [a + b for a, b in zip(sums[name], values, strict=True)]
    return [_line(name, *values) for name, values in sorted(sums.items())]


def _line(name: str, count: float, clicks: float, predicted: float, true: float) -> str:
    error = predicted / clicks / math.sqrt(clicks)  # of the clicks' Poisson noise
    return (
        f"{name} | {int(count):,} | {clicks / count:.5f} | {predicted / count:.5f} |"
        f" {predicted / clicks:.4f} ({error:.4f}) | {predicted / true:.4f}"
    )


if __name__ == "__main__":
    main()
