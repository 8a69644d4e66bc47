"""Criteo's first 80,000 rows: settings chosen on validation rows, scored once on test.

    python -m benchmarks.quality.criteo SOURCE [--folder data/criteo]

SOURCE is the first 80,000 lines of Criteo's train.txt. Rows 0 to 63,999 train and rows
64,000 to 71,999 choose among the settings listed here; then rows 0 to 71,999 train with
the chosen settings, for the number of steps that validation chose, and rows 72,000 to
79,999 are scored once for each seed.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.quality.experiment import Experiment, pairstream, table

JOB = "configs/criteo.yaml"
SEEDS = (1, 2, 3)

LOGISTIC = [
    "model.backbone={name: logistic_regression}",
    "model.embedding_dim=1",
    "training.optimizer.dense={name: adagrad, learning_rate: 0.1}",
]


def settings() -> dict[str, dict[str, list[str]]]:
    """Returns all settings tried, by family and name."""
    logistic, crosses = {}, {}
    rates = ((0.1, 0.01), (0.2, 0.01), (0.3, 0.01), (0.5, 0.01))
    for rate, start in (*rates, (0.02, 1e-6), (0.05, 1e-6), (0.1, 1e-6)):
        for count in (1, 4):
            logistic[f"lr-adagrad{rate}-start{start:g}-count{count}"] = [
                *LOGISTIC,
                *optimizer("adagrad", rate, initial_accumulator=start),
                *minimum_count(count),
            ]
    for rate in (0.0005, 0.001):
        for l2 in (0.0, 1e-5):
            crosses[f"dcn-lazy_adam{rate}-l2_{l2:g}"] = optimizer(
                "lazy_adam", rate, l2=l2
            )
    for rate in (0.005, 0.01, 0.02):
        crosses[f"dcn-adagrad{rate}"] = optimizer(
            "adagrad", rate, initial_accumulator=1e-6
        )
    for count in (2, 10):
        crosses[f"dcn-count{count}"] = minimum_count(count)
    crosses["dcn-dropout0.5"] = ["model.backbone.dropout=0.5"]
    crosses["dcn-batch256"] = ["training.batch_size=256", "training.evaluate_every=120"]
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
    """Returns the setting with the best validation log loss, and its steps."""
    experiment = Experiment(
        job=JOB, examples=folder / "examples", folder=folder / "choice"
    )
    reports = {
        name: experiment.score(name, overrides, split="validation")
        for name, overrides in tried.items()
    }
    losses = {n: r["tasks"]["click"]["log_loss"] for n, r in reports.items()}
    best = min(losses, key=lambda name: losses[name])
    print(
        f"\n{family}, validation rows:\n\n{table({n: [r] for n, r in reports.items()})}"
    )
    print(f"\nchosen: {best} at step {reports[best]['step']}\n", flush=True)
    return best, reports[best]["step"]


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
