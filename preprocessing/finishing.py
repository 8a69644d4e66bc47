"""From what the stages of a run left to an example set, but for its manifest."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from configs.contract import data_contract, fingerprint
from configs.distributions import DISTRIBUTIONS_FILE
from configs.features import embedded_features
from configs.job import Job
from configs.loading import dump_job
from configs.manifest import (
    JOB_FILE,
    MANIFEST_FILE,
    STATISTICS_FILE,
    ExampleSplit,
    Manifest,
    Shard,
    Statistics,
    counts_file,
)
from preprocessing.distributions import merge_distributions
from preprocessing.fields import IMPRESSIONS
from preprocessing.golden import write_golden
from preprocessing.plan import Plan
from preprocessing.quantiles import quantiles_of
from preprocessing.scratch import Scratch, read_bucket, write_atomically
from preprocessing.splitting import SPLITS
from preprocessing.statistics import merge_counts, merge_moments, to_statistics

__all__ = ["Summaries", "finish_splits", "read_summaries", "write_manifest"]


@dataclass(kw_only=True)
class Summaries:
    """What the stages counted.

    Attributes:
        counters: by name.
        dead: dead records, by `dead_letters.dead_name`.
        buckets: of the stage that wrote the shards, one for each bucket.
    """

    counters: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    buckets: list[dict[str, Any]] = field(default_factory=list)


def read_summaries(scratch: Scratch) -> Summaries:
    """Adds up the summaries that the stages left."""
    found = Summaries()
    for summary in scratch.read_json("summaries"):
        found.counters.update(summary["counters"])
        found.dead.update(summary["dead"])
        if "splits" in summary:
            found.buckets.append(summary)
    return found


def finish_splits(
    plan: Plan, folder: Path, summaries: Summaries
) -> dict[str, ExampleSplit]:
    """Numbers the shards, and writes statistics, counts and the job; returns the
    splits for the manifest."""
    job, buckets = plan.job, summaries.buckets
    dropped = summaries.counters[f"{IMPRESSIONS}.dropped_by_sampling"]
    splits = {
        split: _gather_split(job, folder, split, buckets, dropped)
        for split in SPLITS
        if _wanted(job, split)
    }
    _write_statistics(plan, folder, buckets)
    (folder / JOB_FILE).write_text(dump_job(job), encoding="utf-8")
    return splits


def write_manifest(
    plan: Plan,
    folder: Path,
    splits: dict[str, ExampleSplit],
    summaries: Summaries,
    **fields: Any,
) -> Manifest:
    """Writes golden rows, and the manifest last.

    Args:
        plan: of the run.
        folder: of the set.
        splits: of `finish_splits`.
        summaries: of the stages.
        fields: of the manifest, of daily runs and streams.
    """
    job = plan.job
    contract = data_contract(job)
    manifest = Manifest(
        job=job.name,
        fingerprint=fingerprint(contract),
        contract=contract,
        splits=splits,
        counters=dict(sorted(summaries.counters.items())),
        dead_letters=dict(sorted(summaries.dead.items())),
        golden_rows=write_golden(job, plan.scratch, folder),
        adjacent=job.adjacent,
        **fields,
    )
    write_atomically(
        folder / MANIFEST_FILE, (manifest.model_dump_json(indent=2) + "\n").encode()
    )
    return manifest


def _wanted(job: Job, split: str) -> bool:
    rule = job.preprocessing.split
    if rule.by == "time":
        return split in rule.intervals()
    return split == "train" or bool(getattr(rule, split))


def _gather_split(
    job: Job, folder: Path, split: str, buckets: list[dict[str, Any]], dropped: int
) -> ExampleSplit:
    """Numbers the shards of all buckets, in the order of the buckets."""
    found = [summary["splits"].get(split) for summary in buckets]
    parts = [part for part in found if part is not None]
    shards: list[Shard] = []
    for part in parts:
        for listed in part["shards"]:
            shard = Shard.model_validate(listed)
            suffix = "".join(Path(shard.path).suffixes)
            path = f"{split}/{len(shards):05}{suffix}"
            (folder / shard.path).rename(folder / path)
            shards.append(shard.model_copy(update={"path": path}))
    return ExampleSplit(
        rows=sum(part["rows"] for part in parts),
        positives={
            name: sum(part["positives"][name] for part in parts) for name in job.labels
        },
        first_time=min((part["first_time"] for part in parts), default=None),
        last_time=max((part["last_time"] for part in parts), default=None),
        sampled=split == "train" and job.preprocessing.sampling.active,
        dropped=dropped if split == "train" else 0,
        shards=shards,
    )


def _write_statistics(plan: Plan, folder: Path, buckets: list[dict[str, Any]]) -> None:
    trained = [s["splits"]["train"] for s in buckets if "train" in s["splits"]]
    names = list(trained[0]["moments"]) if trained else []
    numeric = {
        name: to_statistics(
            merge_moments(part["moments"][name] for part in trained),
            quantiles_of(_left(plan, f"cells/{name}")),
        )
        for name in names
    }
    distributions = merge_distributions(
        plan.job, [part["distributions"] for part in trained]
    )
    (folder / DISTRIBUTIONS_FILE).write_text(
        distributions.model_dump_json() + "\n", encoding="utf-8"
    )
    statistics = Statistics(numeric=numeric)
    (folder / STATISTICS_FILE).write_text(
        statistics.model_dump_json(indent=2) + "\n", encoding="utf-8"
    )
    for name, _ in embedded_features(plan.job.features):
        path = folder / counts_file(name)
        path.parent.mkdir(exist_ok=True)
        pq.write_table(merge_counts(list(_left(plan, f"counts/{name}"))), path)


def _left(plan: Plan, folder: str) -> Iterator[pa.Table]:
    """Yields the tables that the buckets left in a folder, in order of the buckets."""
    for path in sorted(plan.scratch.folder(folder).glob("*.arrow")):
        table = read_bucket([str(path)], 0)
        if table is not None:
            yield table
