"""Is the conversion rate right on fresh data when conversions come days later?

    python -m benchmarks.streaming.late_conversions [--folder data/late] [--seeds 3]

Synthetic logs of ten days: conversions follow their clicks by hours up to two days. The
rows that a stream gives of them (`preprocessing.observations`) are learned from in the
order of their moments, in one pass, by a model for each way to deal with late labels.
Every six hours, before these are learned from, each model predicts the clicks of these
six hours, and is compared with the generator's true probabilities: there is no noise of
labels in the figures. `labels from the future` learns from each click at once with the
label that it will have: what no system can, and the best that one could hope for. First
rows leave after 15 minutes, or after 12 hours, when part of the conversions are known;
with these, one model does without the second part of rows that are positive at first.
In the second part of the study tastes change at the beginning of the seventh day.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

from benchmarks.quality.experiment import pairstream, spread
from configs.durations import duration_ms, moment_ms
from configs.job import Job
from configs.layout import IDS, LABEL_KINDS, LABELS, TRUTH, EventKind
from configs.loading import load_job
from configs.manifest import read_statistics
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.observations import NEVER, Known, observations
from trainer.assembly import Assembly, assemble
from trainer.inputs.files import ExampleFiles

mpl.use("Agg")
from matplotlib import pyplot as plt

JOB = "benchmarks/streaming/late_conversions.yaml"
START, CHANGE = "2026-01-01", "2026-01-07"
DAYS, PERIOD_MS = 10, 6 * 3_600_000
SCORED = (96.0, 192.0)
"""Hours: after two windows of conversions, until the end of the set, whose last two
days are withheld."""
HOUR_MS, START_RATE = 3_600_000, 0.1

FUTURE, SLOW = "labels from the future", "fnw, a third of the learning rates"
SINGLE = "fnw, 12 h, first positives once"
METHODS = {
    FUTURE: ("settled", "15m"),
    "settled": ("settled", "15m"),
    "fnw": ("fnw", "15m"),
    SLOW: ("fnw", "15m"),
    "first_and_late": ("first_and_late", "15m"),
    "first": ("first", "15m"),
    "fnw, 12 h": ("fnw", "12h"),
    SINGLE: ("fnw", "12h"),
    "first_and_late, 12 h": ("first_and_late", "12h"),
    "first, 12 h": ("first", "12h"),
}
"""By name in tables: `observations` of the task, and `stream.join.observe`."""
DRAWN = [name for name in METHODS if "12 h" not in name and name != "first"]

Columns = dict[str, Any]
Scores = list[dict[str, float]]


def main() -> None:
    """Runs everything that is not there yet, and writes tables and plots."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("data/late"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--impressions", type=int, default=600_000)
    parser.add_argument(
        "--plot", type=Path, default=Path("benchmarks/streaming/late_conversions.png")
    )
    arguments = parser.parse_args()
    runs: dict[str, list[dict[str, Scores]]] = {}
    for name, change in (("tastes stay", None), ("tastes change", CHANGE)):
        runs[name] = []
        for seed in range(arguments.seeds):
            folder = arguments.folder / f"{name.replace(' ', '-')}-{seed}"
            found = scores_of(folder, seed, arguments.impressions, change)
            runs[name].append(found)
        print(f"\n{name}\n\n{table(runs[name], change)}", flush=True)
    draw(runs, arguments.plot)


def scores_of(
    folder: Path, seed: int, impressions: int, change: str | None
) -> dict[str, Scores]:
    """Returns the scores of all methods on one log, made unless they are there."""
    done = folder / "scores.json"
    if not done.exists():
        job, columns = clicked(folder, seed, impressions, change)
        rows = {wait: news(job, columns, wait) for _, wait in METHODS.values()}
        for wait, given in rows.items():
            print(f"{folder.name}, {wait}: {described(columns, given)}", flush=True)
        found = {
            name: learned(job, name, seed, columns, rows[wait])
            for name, (_, wait) in METHODS.items()
        }
        done.write_text(json.dumps(found))
    scores: dict[str, Scores] = json.loads(done.read_text())
    return scores


def clicked(
    folder: Path, seed: int, impressions: int, change: str | None
) -> tuple[Job, Columns]:
    """Makes logs and examples; returns the job and all clicked impressions, by layout
    key, with the moments `turned` [N, 2] of click and conversion."""
    logs, examples = folder / "logs", folder / "examples"
    changes = [] if change is None else ["--taste-change", change]
    settings = [f"training.seed={seed}", f"data.examples={examples}"]
    for log, name in (("events.click", "clicks"), ("events.conversion", "conversions")):
        settings.append(f"data.{log}.path={logs}/{name}-*.parquet")
    settings.append(f"data.impressions.path={logs}/impressions-*.parquet")
    job = load_job(JOB, settings)
    if not examples.exists():
        options = [word for item in settings for word in ("--set", item)]
        pairstream(
            *("preprocessing", "synthesize", logs, "--no-history", *changes),
            *("--impressions", impressions, "--days", DAYS, "--start", START),
            *("--users", 2_000, "--items", 1_000, "--click-rate", 0.25),
            *("--conversion-rate", 0.2, "--conversion-window", "2d"),
            *("--conversion-delay", "8h", "--duplicate-share", 0, "--seed", seed),
        )
        pairstream("preprocessing", "run", JOB, *options)
    source = ExampleFiles(str(examples), "train", job, batch_size=65_536)
    parts: list[Columns] = []
    for (batch,) in source.batches():
        chosen = batch[LABELS].numpy()[:, 0] == 1.0
        parts.append({key: values.numpy()[chosen] for key, values in batch.items()})
    columns = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
    columns["turned"] = moments(job, logs, columns)
    labels = (columns["turned"] < NEVER).astype(np.float32)
    np.testing.assert_array_equal(labels, columns[LABELS])
    return job, columns


def moments(job: Job, logs: Path, columns: Columns) -> Any:
    """Returns when click and conversion came, joined here without Pairstream's join:
    [N, 2], `NEVER` without one in the window."""
    place = {event: n for n, event in enumerate(columns[IDS][:, 0].tolist())}
    turned = np.full((len(place), 2), NEVER)
    row_of: dict[str, int] = {}
    for column, (name, key) in enumerate(
        (("clicks", "impression_id"), ("conversions", "click_id"))
    ):
        window = duration_ms(list(job.labels.values())[column].window)
        for path in sorted(logs.glob(f"{name}-*.parquet")):
            events = pq.read_table(path)
            keys = events[key].combine_chunks()
            if column == 0:
                rows = [place.get(f) for f in fingerprints_of(keys).tolist()]
                row_of |= dict(zip(events["click_id"].to_pylist(), rows, strict=True))
            else:
                rows = [row_of.get(k) for k in keys.to_pylist()]
            times = events["timestamp_ms"].to_pylist()
            for row, moment in zip(rows, times, strict=True):
                if row is None or moment >= turned[row, column]:
                    continue
                late = moment - columns["event_time"][row] > window
                if not late and (column == 0 or moment >= turned[row, 0]):
                    turned[row, column] = moment
    return turned


def news(job: Job, columns: Columns, observe: str) -> Columns:
    """Returns the rows that a stream gives, in the order of their moments: the number
    of the impression, `moment`, labels and their kinds."""
    count, end = len(columns["turned"]), moment_ms(START) + DAYS * 24 * HOUR_MS
    known = Known(
        times=columns["event_time"],
        turned=columns["turned"],
        seen=np.zeros(count, bool),
        told=np.zeros((count, 2), bool),
    )
    found = observations(job, known, duration_ms(observe), None, end)
    moment = columns["event_time"][found.rows] + found.elapsed
    order = np.lexsort((columns[IDS][found.rows, 0], moment))
    return {
        "row": found.rows[order],
        "moment": moment[order],
        LABELS: found.labels[order].astype(np.float32),
        LABEL_KINDS: found.label_kinds[order].astype(np.int64),
    }


def from_the_future(columns: Columns, rows: Columns) -> Columns:
    """Returns the rows in which a click is first known, with their final labels."""
    inside = rows[LABELS][:, 0] == 1.0
    first = rows[LABEL_KINDS][:, 0] != EventKind.REPEATED
    chosen = {key: values[inside & first] for key, values in rows.items()}
    final = columns[LABELS][chosen["row"]]
    settled = np.full(final.shape, EventKind.SETTLED, np.int64)
    return {**chosen, LABELS: final, LABEL_KINDS: settled}


def as_late(rows: Columns) -> Any:
    """Returns the kinds of labels with which a row that is positive at first is a late
    positive, and so no fake negative."""
    kinds = rows[LABEL_KINDS].copy()
    first = np.isin(kinds[:, 1], (EventKind.FIRST, EventKind.SETTLED))
    kinds[first & (rows[LABELS][:, 1] == 1.0), 1] = EventKind.LATE_POSITIVE
    # A click that is known at first makes no first row of its own.
    kinds[:, 0] = np.where(kinds[:, 1] == EventKind.LATE_POSITIVE, 3, kinds[:, 0])
    return kinds


def described(columns: Columns, rows: Columns) -> str:
    delay = np.diff(columns["turned"], axis=1)[columns[LABELS][:, 1] == 1.0]
    hours = np.quantile(delay, (0.1, 0.5, 0.9)) / HOUR_MS
    late = (rows[LABEL_KINDS][:, 1] == EventKind.LATE_POSITIVE).sum() / len(delay)
    return (
        f"{len(columns['turned']):,} clicks, {len(delay):,} conversions, {late:.1%} of"
        f" them after the first row, delays {hours.round(1).tolist()} h (10%, 50%, 90%)"
    )


def learned(
    job: Job, method: str, seed: int, columns: Columns, rows: Columns
) -> Scores:
    """Tests, then trains, period by period; returns the scores of the periods."""
    task = job.model.tasks["conversion"].model_copy(
        update={"observations": METHODS[method][0]}
    )
    model = job.model.model_copy(update={"tasks": {"conversion": task}})
    job = job.model_copy(update={"model": model})
    if method == SLOW:
        job = slower(job, 3.0)
    if method == FUTURE:
        rows = from_the_future(columns, rows)
    if method == SINGLE:
        rows = {**rows, LABEL_KINDS: as_late(rows)}
    features = {k: v for k, v in columns.items() if k not in ("turned", LABELS)}
    tf.keras.utils.set_random_seed(seed)
    built = assembled(job, features)
    scores: Scores = []
    start, last = moment_ms(START), int(columns["turned"][:, 0].max())
    for period in range(start, last, PERIOD_MS):
        until = period + PERIOD_MS
        fresh = (columns["turned"][:, 0] >= period) & (columns["turned"][:, 0] < until)
        if fresh.any():
            scores.append(scored(built, features, np.flatnonzero(fresh), period))
        now = np.flatnonzero((rows["moment"] >= period) & (rows["moment"] < until))
        for batch in batches(features, rows, now, job.training.batch_size):
            built.step((batch,))
    print(f"  {method}: calibration {mean_of(scores, 'calibration'):.4f}", flush=True)
    return scores


def slower(job: Job, factor: float) -> Job:
    """Returns the job with smaller learning rates."""
    options = job.training.optimizer
    optimizer = {
        name: section.model_copy(
            update={"learning_rate": section.learning_rate / factor}
        )
        for name, section in (
            ("dense", options.dense),
            ("embeddings", options.embeddings),
        )
    }
    training = job.training.model_copy(
        update={"optimizer": options.model_copy(update=optimizer)}
    )
    return job.model_copy(update={"training": training})


def assembled(job: Job, features: Columns) -> Assembly:
    spec = {
        key: tf.TensorSpec([None, *values.shape[1:]], values.dtype)
        for key, values in features.items()
    }
    labels = len(job.labels)
    spec[LABELS] = tf.TensorSpec([None, labels], tf.float32)
    spec[LABEL_KINDS] = tf.TensorSpec([None, labels], tf.int64)
    return assemble(
        job,
        statistics=read_statistics(job.data.examples),
        vocabularies={},
        base_rates={"conversion": START_RATE},
        element_spec=(spec,),
    )


def batches(
    features: Columns, rows: Columns, chosen: Any, size: int
) -> Iterator[dict[str, tf.Tensor]]:
    """Yields the rows as batches; those that no method takes are left out."""
    inside = rows[LABELS][chosen, 0] == 1.0
    chosen = chosen[inside]
    for begin in range(0, len(chosen), size):
        part = chosen[begin : begin + size]
        batch = {key: values[rows["row"][part]] for key, values in features.items()}
        batch |= {key: rows[key][part] for key in (LABELS, LABEL_KINDS)}
        yield {key: tf.constant(values) for key, values in batch.items()}


def scored(
    built: Assembly, features: Columns, rows: Any, period: int
) -> dict[str, float]:
    """Compares predictions with the truth: calibration, and the expected log loss
    beyond that of the truth."""
    logits = []
    for begin in range(0, len(rows), 16_384):
        part = rows[begin : begin + 16_384]
        batch = {key: tf.constant(values[part]) for key, values in features.items()}
        logits.append(built.inference(batch)["conversion"].numpy().astype(float))
    z, p = np.concatenate(logits), features[TRUTH][rows, 1].astype(float)
    loss = p * np.logaddexp(0.0, -z) + (1.0 - p) * np.logaddexp(0.0, z)
    least = -(p * np.log(p) + (1.0 - p) * np.log1p(-p))
    return {
        "hours": (period + PERIOD_MS / 2 - moment_ms(START)) / HOUR_MS,
        "rows": float(len(rows)),
        "calibration": float((1.0 / (1.0 + np.exp(-z))).sum() / p.sum()),
        "excess": float((loss - least).mean()),
    }


def mean_of(
    scores: Scores, metric: str, since: float = SCORED[0], until: float = SCORED[1]
) -> float:
    """Returns the mean over the periods, each weighted by its rows."""
    chosen = [s for s in scores if since <= s["hours"] < until]
    values, rows = zip(*((s[metric], s["rows"]) for s in chosen), strict=True)
    return float(np.average(values, weights=rows))


def swing(scores: Scores) -> float:
    """Returns the standard deviation of the calibration over the periods."""
    chosen = [s["calibration"] for s in scores if SCORED[0] <= s["hours"] < SCORED[1]]
    return float(np.std(chosen))


def table(runs: Sequence[dict[str, Scores]], change: str | None) -> str:
    """Returns a Markdown table: means over periods, then over seeds."""
    spans = {"days 5 to 8": SCORED}
    if change is not None:
        moved = (moment_ms(change) - moment_ms(START)) / HOUR_MS
        spans = {"day before": (moved - 24, moved), "day after": (moved, moved + 24)}
        spans["next day"] = (moved + 24, moved + 48)
    heading = " | ".join(f"{m}, {s}" for m in ("calibration", "excess") for s in spans)
    lines = [f"| rows learned | {heading} | swing of calibration |"]
    lines.append("|" + " --- |" * (2 + 2 * len(spans)))
    for name in METHODS:
        cells = [name]
        for metric, digits in (("calibration", 3), ("excess", 5)):
            for since, until in spans.values():
                values = [mean_of(run[name], metric, since, until) for run in runs]
                cells.append(spread(values, digits))
        cells.append(spread((swing(run[name]) for run in runs), 3))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(runs: dict[str, list[dict[str, Scores]]], path: Path) -> None:
    """Draws calibration and excess of log loss over time, mean and range of seeds."""
    figure, axes = plt.subplots(len(runs), 2, figsize=(12, 4 * len(runs)))
    for row, (name, seeds) in zip(axes, runs.items(), strict=True):
        for axis, metric in zip(row, ("calibration", "excess"), strict=True):
            for color, method in enumerate(DRAWN):
                series = [
                    [s for s in run[method] if s["hours"] < SCORED[1]] for run in seeds
                ]
                hours = [s["hours"] for s in series[0]]
                values = np.array([[s[metric] for s in run] for run in series])
                axis.plot(hours, values.mean(axis=0), color=f"C{color}", label=method)
                low, high = values.min(axis=0), values.max(axis=0)
                axis.fill_between(hours, low, high, color=f"C{color}", alpha=0.2)
            axis.set(xlabel="hours", title=name, xlim=(0, SCORED[1]))
        row[0].axhline(1.0, color="black", linewidth=0.8, linestyle="--")
        row[0].set(ylabel="predicted / true, fresh clicks", ylim=(0.0, 1.6))
        row[1].set(ylabel="log loss beyond the truth's", ylim=(0.0, 0.08))
    axes[0, 0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
