"""Criteo's first 80,000 rows: settings chosen on validation rows, scored once on test.

    python -m benchmarks.quality.criteo SOURCE [--folder data/criteo]

SOURCE is the first 80,000 lines of Criteo's train.txt. Rows 0 to 63,999 train and rows
64,000 to 71,999 choose among the settings listed here; then rows 0 to 71,999 train with
the chosen settings, for the number of steps that validation chose, and rows 72,000 to
79,999 are scored once for each seed.
"""

import argparse
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.quality.experiment import Experiment, pairstream, table

JOB = "configs/criteo.yaml"
SEEDS = (1, 2, 3)
CHOOSING_SEEDS = 2

LOGISTIC = [
    "model.backbone={name: logistic_regression}",
    "model.embedding_dim=1",
    "training.optimizer.dense={name: adagrad, learning_rate: 0.1}",
]


def settings() -> dict[str, dict[str, list[str]]]:
    """Returns all settings tried, by family and name."""
    logistic, crosses = {}, {}
    for rate in (0.02, 0.05, 0.1):
        for count in (1, 4):
            logistic[f"lr-adagrad{rate}-count{count}"] = [
                *LOGISTIC,
                *optimizer("adagrad", rate, initial_accumulator=1e-6),
                *minimum_count(count),
            ]
    crosses["dcn-lazy_adam0.001"] = optimizer("lazy_adam", 0.001)
    for rate in (0.005, 0.01, 0.02):
        adagrad = optimizer("adagrad", rate, initial_accumulator=1e-6)
        crosses[f"dcn-adagrad{rate}"] = adagrad
    adagrad = optimizer("adagrad", 0.01, initial_accumulator=1e-6)
    crosses["dcn-adagrad0.01-count1"] = [*adagrad, *minimum_count(1)]
    crosses["dcn-adagrad0.01-count10"] = [*adagrad, *minimum_count(10)]
    crosses["dcn-adagrad0.01-dropout0.5"] = [*adagrad, "model.backbone.dropout=0.5"]
    return {"logistic regression": logistic, "DCN V2": crosses}


def optimizer(name: str, rate: float, **others: float) -> list[str]:
    """Returns overrides for the optimizer of the tables."""
    place = "training.optimizer.embeddings"
    values = {"learning_rate": rate, **others}
    return [
        f"{place}={{name: {name}}}",
        *(f"{place}.{key}={value}" for key, value in values.items()),
    ]


def minimum_count(count: int) -> list[str]:
    """Returns overrides for the number of rows that a category must have."""
    return [
        f"features.C{k}.embedding.vocabulary.min_count={count}" for k in range(1, 27)
    ]


def prepare(source: Path, folder: Path) -> None:
    """Makes both example sets, unless they are there."""
    if not (folder / "logs").exists():
        pairstream("preprocessing", "convert", "criteo", source, folder / "logs")
    logs = ["--set", f"data.impressions.path={folder}/logs/impressions-*.parquet"]
    if not (folder / "examples").exists():
        target = f"data.examples={folder}/examples"
        pairstream("preprocessing", "run", JOB, *logs, "--set", target)
    if not (folder / "examples-72k").exists():
        words = [
            "preprocessing.split.train.until=72000",
            "preprocessing.split.validation=null",
            "training.early_stopping=null",
            f"data.examples={folder}/examples-72k",
        ]
        options = [x for word in words for x in ("--set", word)]
        pairstream("preprocessing", "run", JOB, *logs, *options)


def main() -> None:
    """Runs everything and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("data/criteo"))
    arguments = parser.parse_args()
    prepare(arguments.source, arguments.folder)
    final: dict[str, list[dict[str, Any]]] = {}
    for family, tried in settings().items():
        name, steps = choose(arguments.folder, family, tried)
        variants = {f"{family} (bce)": tried[name]}
        if family == "DCN V2":
            pair = "model.tasks.click.losses=[{name: combined_pair, alpha: 0.9}]"
            variants[f"{family} (combined_pair 0.9)"] = [*tried[name], pair]
        for variant, overrides in variants.items():
            final[variant] = score(arguments.folder, variant, overrides, steps)
    print(f"\nTest rows, scored once for each seed:\n\n{table(final)}")


def choose(folder: Path, family: str, tried: dict[str, list[str]]) -> tuple[str, int]:
    """Returns the setting with the best validation log loss, averaged over seeds, and
    the steps after which it was reached on average."""
    experiment = Experiment(
        job=JOB, examples=folder / "examples", folder=folder / "choice"
    )
    reports = {
        name: [
            experiment.score(name, overrides, split="validation", seed=seed)
            for seed in SEEDS[:CHOOSING_SEEDS]
        ]
        for name, overrides in tried.items()
    }
    losses = {
        name: mean(run["tasks"]["click"]["log_loss"] for run in runs)
        for name, runs in reports.items()
    }
    best = min(losses, key=lambda name: losses[name])
    steps = round(mean(run["step"] for run in reports[best]))
    print(f"\n{family}, validation rows:\n\n{table(reports)}")
    print(f"\nchosen: {best} at step {steps}\n", flush=True)
    return best, steps


def score(
    folder: Path, name: str, overrides: list[str], steps: int
) -> list[dict[str, Any]]:
    """Trains on all 72,000 rows, as many passes as validation chose, for each seed."""
    experiment = Experiment(
        job=JOB, examples=folder / "examples-72k", folder=folder / "final"
    )
    whole = [
        "preprocessing.split.train.until=72000",
        "preprocessing.split.validation=null",
        "training.early_stopping=null",
        f"training.max_steps={round(steps * 72_000 / 64_000)}",
    ]
    slug = name.replace(" ", "-").translate(str.maketrans("", "", "()"))
    return [
        experiment.score(slug, [*whole, *overrides], split="test", seed=seed)
        for seed in SEEDS
    ]


if __name__ == "__main__":
    main()
