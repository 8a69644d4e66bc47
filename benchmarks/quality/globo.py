"""Globo's click log: without the sequence, with it, and with the auxiliary tasks.

    python -m benchmarks.quality.globo SOURCE [--folder data/globo]

SOURCE is the click log (clicks as CSV). All of it is converted and preprocessed, which
gives the speed; the models train on about a million rows of a stated period and are
scored on the hours after it, with three seeds.
"""

import argparse
import time
from pathlib import Path

from benchmarks.quality.experiment import Experiment, pairstream, table
from configs.manifest import read_manifest

JOB = "configs/globo.yaml"
SEEDS = (1, 2, 3)
EVERYTHING = [
    "preprocessing.split.train={until: '2017-10-15'}",
    "preprocessing.split.validation='2017-10-15'",
    "preprocessing.split.test={from: '2017-10-16'}",
]
VARIANTS = {
    "without sequence": ["model.backbone={name: dcn_v2}", "model.auxiliary=[]"],
    "with sequence": ["model.auxiliary=[]"],
    "with UIM": ["model.auxiliary=[{name: uim}]"],
    "with UIM and NIP": [],
}


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("data/globo"))
    parser.add_argument("--skip-everything", action="store_true", help="the table only")
    arguments = parser.parse_args()
    if not arguments.skip_everything:
        preprocess_everything(arguments.source, arguments.folder)
    folder = arguments.folder
    if not (folder / "logs").exists():
        # Negatives of the last hour: with more, an article's trend is all there is.
        period = ("--from", "2017-10-10", "--until", "2017-10-11", "--window", "1h")
        pairstream(
            *("preprocessing", "convert", "globo", arguments.source),
            *(folder / "logs", *period),
        )
    if not (folder / "examples").exists():
        pairstream("preprocessing", "run", JOB, *paths(folder, "logs", "examples"))
    experiment = Experiment(
        job=JOB, examples=folder / "examples", folder=folder / "results"
    )
    reports = {
        variant: [
            experiment.score(variant.replace(" ", "-"), settings, split="test", seed=s)
            for s in SEEDS
        ]
        for variant, settings in VARIANTS.items()
    }
    print(f"\n{table(reports)}")


def preprocess_everything(source: Path, folder: Path) -> None:
    """Converts and preprocesses the whole log, and says how fast."""
    started = time.monotonic()
    logs = folder / "logs-all"
    pairstream("preprocessing", "convert", "globo", source, logs, "--overwrite")
    converted = time.monotonic()
    options = [word for item in EVERYTHING for word in ("--set", item)]
    pairstream(
        *("preprocessing", "run", JOB, "--overwrite"),
        *(*paths(folder, "logs-all", "examples-all"), *options),
    )
    ended = time.monotonic()
    manifest = read_manifest(folder / "examples-all")
    rows = sum(split.rows for split in manifest.splits.values())
    print(
        f"convert: {converted - started:.0f} s; preprocess: {rows:,} examples in"
        f" {ended - converted:.0f} s, {rows / (ended - converted):,.0f} impressions/s"
    )
    print(f"counters: {manifest.counters}; dead: {manifest.dead_letters}", flush=True)


def paths(folder: Path, logs: str, examples: str) -> list[str]:
    """Returns overrides that place the logs and examples."""
    settings = [
        f"data.impressions.path={folder}/{logs}/impressions-*.parquet",
        f"data.events.click.path={folder}/{logs}/clicks-*.parquet",
        f"data.examples={folder}/{examples}",
    ]
    return [word for item in settings for word in ("--set", item)]


if __name__ == "__main__":
    main()
