"""Every loss against cross-entropy, on the same model, rows and seeds.

    python -m benchmarks.quality.losses [--folder data/losses]
    python -m benchmarks.quality.losses --criteo data/criteo/examples-72k

Synthetic logs whose true probabilities are known, at click rates of 2% and 0.2%: five
million impressions are learned once, five other million scored. With `--criteo`, an
example set that `benchmarks.quality.criteo` made, with positives weighing 1 and 0.1.
What the folder holds already is not run again. Tables and plots go into the folder.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.quality.experiment import pairstream
from benchmarks.quality.losses.report import write_report
from benchmarks.quality.losses.study import LOSSES, Study

JOB = "benchmarks/quality/losses/job.yaml"
RATES = ("0.02", "0.002")
CRITEO = (
    "training.epochs=2",  # as many as `benchmarks.quality.criteo` chose
    "preprocessing.split.train.until=72000",
    "preprocessing.split.validation=null",
    "training.early_stopping=null",
    "training.evaluate_every=null",
)


def main() -> None:
    """Runs what is missing, and writes the reports."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("data/losses"))
    parser.add_argument("--impressions", type=int, default=11_800_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--losses", nargs="*", default=list(LOSSES))
    parser.add_argument("--criteo", type=Path)
    arguments = parser.parse_args()
    studies = criteo if arguments.criteo else synthetic
    for study in studies(arguments):
        study.run(arguments.seeds)
        print(write_report(study), flush=True)


def synthetic(arguments: argparse.Namespace) -> Iterator[Study]:
    """Yields the studies of synthetic logs, and makes their logs first."""
    for rate in RATES:
        yield Study(
            title=f"Synthetic logs, click rate {rate}",
            folder=arguments.folder / rate,
            examples=make_examples(arguments.folder, rate, arguments.impressions),
            job=JOB,
            losses=arguments.losses,
        )


def criteo(arguments: argparse.Namespace) -> Iterator[Study]:
    """Yields the studies of Criteo's sample; it has no conversions for PWiseR."""
    for beta in (1.0, 0.1):
        yield Study(
            title=f"Criteo, first 80,000 rows, beta {beta}",
            folder=arguments.folder / f"criteo-{beta}",
            examples=arguments.criteo,
            job="configs/criteo.yaml",
            settings=CRITEO,
            beta=beta,
            losses=[loss for loss in arguments.losses if loss != "pwiser"],
        )


def make_examples(folder: Path, rate: str, impressions: int) -> Path:
    """Returns an example set of synthetic logs, made unless it is there."""
    logs, examples = folder / f"logs-{rate}", folder / f"examples-{rate}"
    if not examples.exists():
        pairstream(
            *("preprocessing", "synthesize", logs, "--no-history", "--overwrite"),
            *("--impressions", impressions, "--click-rate", rate, "--seed", 3),
        )
        settings = [f"data.impressions.path={logs}/impressions-*.parquet"]
        for event in ("click", "conversion"):
            settings.append(f"data.events.{event}.path={logs}/{event}s-*.parquet")
        settings.append(f"data.examples={examples}")
        options = [word for item in settings for word in ("--set", item)]
        pairstream("preprocessing", "run", JOB, *options)
    return examples


if __name__ == "__main__":
    main()
