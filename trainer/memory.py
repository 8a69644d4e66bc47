"""How much memory training takes, before it takes it."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from configs.errors import TrainingError
from configs.features import embedded_features
from configs.job import Job
from configs.layout import ExampleLayout
from configs.manifest import ExampleSplit
from trainer.auxiliary.dmr import target_tables
from trainer.layers.tables import index_tables, tables_of
from trainer.optimizers.registry import sparse_optimizer
from trainer.vocabularies import Vocabularies

__all__ = ["Memory", "check_memory", "free_on_gpus", "free_on_host", "memory_of"]

_MEBIBYTE = 2**20

_FLOAT = 4
"""Bytes of a weight, a slot's value or a gradient: all are float32."""

_BLOCKS_HELD = 4
"""Blocks of serialized rows: being read, ready, being shuffled, being cut up."""

_PER_EMBEDDING = 3
"""Vectors held for each id of a batch: its embedding, gradient, and summed gradient."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes that training takes. Dense weights and activations are not in it.

    Attributes:
        rows: of all tables (a number of rows).
        tables: embedding tables, on each device.
        slots: of the tables' optimizer, on each device.
        start: what filling the largest table takes besides, on each device.
        batch: embeddings of a batch and their gradients, on each device; with dense
            Adam the gradient of the largest table besides.
        input: blocks of examples, on the host.
        served: tables of the served version, on each device, where a stream is scored
            with it too.
    """

    rows: int
    tables: int
    slots: int
    start: int
    batch: int
    input: int
    served: int = 0

    @property
    def device(self) -> int:
        """Bytes on each device."""
        # Nothing of a batch is there while tables are filled.
        return self.tables + self.slots + max(self.start, self.batch) + self.served

    def __str__(self) -> str:
        beside = f" + {_mib(self.served)} of the served version" if self.served else ""
        return (
            f"{_mib(self.device)} = tables {_mib(self.tables)} ({self.rows:,} rows)"
            f" + slots of their optimizer {_mib(self.slots)} + the larger of"
            f" {_mib(self.start)} to fill them and {_mib(self.batch)} of a batch"
            + beside
        )


class Source(Protocol):
    """What is asked of a source of examples."""

    @property
    def rows(self) -> int:
        """Rows that there are, or that are read at once if those are fewer."""

    @property
    def split(self) -> ExampleSplit:
        """Files that tell how long an example is."""

    @property
    def layout(self) -> ExampleLayout:
        """Of the examples."""


def memory_of(
    job: Job, vocabularies: Vocabularies, source: Source, devices: int
) -> Memory:
    """Estimates what training takes.

    Args:
        job: the job.
        vocabularies: by table.
        source: of the training rows.
        devices: that share a batch.
    """
    tables = tables_of(job, {name: len(v) for name, v in vocabularies.items()})
    # Width and rows of each variable.
    rows: dict[int, int] = {}
    for table in tables.values():
        rows[table.dim] = rows.get(table.dim, 1) + table.rows
    variables = list(rows.items())
    all_rows = 1 + sum(table.rows for table in tables.values())
    if job.model.backbone.first_order:
        variables.append((1, all_rows))
    variables += [(dim, all_rows) for dim in job.model.backbone.further_sets]
    variables += target_tables(job)
    options = job.training.optimizer.embeddings
    slots = len(sparse_optimizer(options).slots)
    by_row = options.name == "rowwise_adagrad"
    largest = max((dim * n for dim, n in variables), default=0) * _FLOAT
    share = -(-job.training.batch_size // devices)
    held = min(max(job.training.shuffle_block, job.training.batch_size), source.rows)
    files = source.split.shards
    per_example = sum(file.bytes for file in files) / max(source.split.rows, 1)
    return Memory(
        rows=sum(n for _, n in variables),
        tables=sum(dim * n for dim, n in variables) * _FLOAT,
        slots=sum((1 if by_row else dim) * n for dim, n in variables)
        * (slots * _FLOAT),
        # The random values, and the same with the row of padding before them.
        start=2 * largest,
        batch=share * _values_of_a_row(job, source) * (_PER_EMBEDDING * _FLOAT)
        # This one makes the gradient of a whole table.
        + (largest if options.name == "adam" else 0),
        input=int(_BLOCKS_HELD * held * per_example),
    )


def _values_of_a_row(job: Job, source: Source) -> int:
    """Returns the values of all embeddings and first-order weights of an example."""
    values, backbone = 0, job.model.backbone
    more = backbone.first_order + sum(backbone.further_sets)
    for name, _ in embedded_features(job.features):
        feature, _, field = name.partition(".")
        ids = source.layout.multi_valued.get(name, 1)
        if field:
            ids = source.layout.sequences[feature].max_length
        width = job.embedding_of(name).dim or 0
        values += ids * (width + more)
    return values + sum(table.dim + more for table in index_tables(job))


def check_memory(
    memory: Memory, *, copies: int, host: int | None, gpus: list[int]
) -> str:
    """Returns a line for the user, if training fits.

    Args:
        memory: that training takes.
        copies: devices on this machine, each with its own tables and slots.
        host: free bytes of the machine, or None if unknown.
        gpus: free bytes of each GPU that is trained on; empty on a CPU.

    Raises:
        TrainingError: with the arithmetic, if it does not fit.
    """
    on_host = memory.input + (0 if gpus else copies * memory.device)
    each = f"memory on each of {copies} device(s) here: {memory}"
    line = (
        f"{each}; blocks of examples {_mib(memory.input)}; dense weights and"
        " activations come on top"
    )
    mending = (
        "Lower embedding dims, buckets or training.shuffle_block, raise min_count or"
        " set max_size of the vocabularies, or choose an optimizer with fewer slots"
        " (rowwise_adagrad has one value a row)"
    )
    least = min(gpus, default=None)
    if least is not None and memory.device > least:
        raise TrainingError(
            f"training does not fit: {each}, and a GPU has {_mib(least)} free."
            f" {mending}"
        )
    if host is not None and on_host > host:
        shares = f"blocks of examples {_mib(memory.input)}"
        if not gpus:
            shares = f"{copies} x {_mib(memory.device)} + {shares}"
        raise TrainingError(
            f"training does not fit: it needs {_mib(on_host)} = {shares}, and"
            f" {_mib(host)} are free here; {each}. {mending}"
        )
    return line


def free_on_host(root: Path = Path("/")) -> int | None:
    """Returns the bytes that this machine, or its container, has left.

    Args:
        root: of the file system with `proc` and `sys`.
    """
    free = [_available(root), _left_in_group(root)]
    known = [value for value in free if value is not None]
    return min(known, default=None)


def _available(root: Path) -> int | None:
    try:
        text = (root / "proc/meminfo").read_text("ascii")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _left_in_group(root: Path) -> int | None:
    """Returns what the control group leaves, by version 2 or else version 1."""
    group = root / "sys/fs/cgroup"
    for limit, used, statistics, cache in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ):
        try:
            maximum = (group / limit).read_text("ascii").strip()
            current = int((group / used).read_text("ascii"))
            lines = (group / statistics).read_text("ascii").splitlines()
        except (OSError, ValueError):
            continue
        if not maximum.isdigit():
            return None  # "max": no limit
        # Pages of files that nobody uses now are given back when memory is short.
        reclaimable = dict(line.split() for line in lines).get(cache, "0")
        return int(maximum) - current + int(reclaimable)
    return None


def free_on_gpus(count: int) -> list[int]:
    """Returns the free bytes of the GPUs, as their driver's tool says.

    Args:
        count: GPUs that are trained on; 0 asks nobody.
    """
    tool = shutil.which("nvidia-smi") if count else None
    if tool is None:
        return []
    query = [tool, "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(  # noqa: S603 (no word of it is a user's)
            query, capture_output=True, text=True, check=True, timeout=30
        )
        return [int(line) * _MEBIBYTE for line in answer.stdout.split()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def _mib(count: int) -> str:
    return f"{count / _MEBIBYTE:,.1f} MiB"
