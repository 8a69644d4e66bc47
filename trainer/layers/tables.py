"""Fused embedding tables: one variable and one gather for all tables of one width.

Legend: B batch, k ids per row of a block, d width of an embedding.

Row 0 of every variable belongs to padding. It starts at zero and stays there, because
the vectors of padding are masked and so its gradient is zero under any optimizer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from configs.errors import JobError
from configs.features import NumericFeature, TimeFeature, embedded_features
from configs.job import Job
from configs.layout import FINGERPRINT_RANGE, PADDING
from trainer.layers.seeds import derived_seed
from trainer.layers.table_places import offsets_by_width, places_together

__all__ = [
    "Block",
    "Found",
    "FusedTables",
    "Table",
    "index_tables",
    "table_inputs",
    "tables_of",
]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One embedding table.

    Attributes:
        name: the input that owns it (`article_id`, `history.category`).
        dim: width.
        rows: number of rows.
        kind: how an id finds its row: `buckets` by id modulo `rows`; `vocabulary` by
            its place in a sorted list, plus 1, and 0 if it is not there; `index` means
            that the id is the row.
        spare: of a vocabulary, rows that are given to values later; a second list has
            the row of each value then.
    """

    name: str
    dim: int
    rows: int
    kind: Literal["buckets", "vocabulary", "index"]
    spare: int = 0


@dataclass(frozen=True, kw_only=True)
class Block:
    """Ids that are looked up together.

    Attributes:
        name: key of the block in the arguments and results of `FusedTables`.
        tables: one name for each column; a single name serves any number of columns.
        padded: whether ids may be `PADDING`.
    """

    name: str
    tables: tuple[str, ...]
    padded: bool = False


class Found(NamedTuple):
    """What `FusedTables` returns, by the name of the block.

    Attributes:
        vectors: float32 [B, k, d]; zeros where the id is `PADDING`.
        weights: float32 [B, k], the first-order weights; likewise. Empty if the tables
            have none.
        further: vectors of each further set, as `vectors`.
    """

    vectors: dict[str, tf.Tensor]
    weights: dict[str, tf.Tensor]
    further: tuple[dict[str, tf.Tensor], ...] = ()


def table_inputs(job: Job) -> dict[str, list[str]]:
    """Returns the inputs that use each categorical table, by the table's name."""
    inputs: dict[str, list[str]] = {}
    for name, _ in embedded_features(job.features):
        inputs.setdefault(job.table_owner(name), []).append(name)
    return inputs


def tables_of(job: Job, vocabulary_sizes: Mapping[str, int]) -> dict[str, Table]:
    """Returns the tables of `job` by name.

    Args:
        job: the job.
        vocabulary_sizes: number of values of each table with a vocabulary.

    Raises:
        JobError: if the size of a vocabulary is not given.
    """
    tables = {}
    for name in table_inputs(job):
        embedding = job.embedding_of(name)
        spare = embedding.vocabulary.spare if embedding.vocabulary else 0
        if embedding.vocabulary is None:
            rows = embedding.buckets or 0
        elif name in vocabulary_sizes:
            rows = vocabulary_sizes[name] + spare + 1
        else:
            raise JobError(
                f"features.{name} has a vocabulary, but its values are not known here:"
                f" got vocabularies of {sorted(vocabulary_sizes)}. Take them from the"
                " counts of the example set, or from a training run"
            )
        tables[name] = Table(
            name=name,
            dim=embedding.dim or 0,
            rows=rows,
            kind="vocabulary" if embedding.vocabulary else "buckets",
            spare=spare,
        )
    return tables | {table.name: table for table in index_tables(job)}


def index_tables(job: Job) -> list[Table]:
    """Returns the tables of numbers in buckets and of time features."""
    tables = []
    for name, feature in job.features.items():
        dim, rows = None, 0
        if isinstance(feature, NumericFeature) and feature.bucketize:
            dim, rows = feature.bucketize.dim, feature.bucketize.num_buckets
        elif isinstance(feature, TimeFeature):
            dim, rows = feature.dim, feature.values + 1
        if rows:
            dim = dim or job.model.embedding_dim or 0
            tables.append(Table(name=name, dim=dim, rows=rows, kind="index"))
    return tables


class FusedTables(keras.layers.Layer):  # type: ignore[misc]
    """Looks up blocks of ids in tables that share a variable where widths agree.

    The variable of width d is called `width_d` and has the shape
    `[1 + sum of rows, d]`. It is read by a gather on the resource, so a gradient tape
    returns `tf.IndexedSlices` for it. Vocabularies are non-trainable int64 weights,
    sorted, so that they live in the checkpoint and in the export.

    Some backbones give each value a weight of its own beside its embedding, its
    first-order weight. All of these are one variable more, `first_order`, of the shape
    `[1 + rows of all tables, 1]`: inputs that share a table share these weights too.

    Others have several embeddings of each value. Each further set of them is one
    variable, `set_2`, `set_3`, ..., of the shape `[1 + rows of all tables, its width]`.

    Args:
        tables: all tables by name.
        blocks: what is looked up, in one gather for each width.
        vocabularies: sorted int64 values by table, or None to leave them to a
            checkpoint.
        initial_stddev: of the normal distribution that new rows are drawn from.
        seed: of that distribution.
        first_order: whether there are first-order weights.
        further: the width of each further set.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        blocks: Sequence[Block],
        *,
        vocabularies: Mapping[str, np.ndarray[Any, Any]] | None,
        initial_stddev: float,
        seed: int,
        first_order: bool = False,
        further: Sequence[int] = (),
        name: str = "tables",
    ) -> None:
        super().__init__(name=name)
        self._tables = dict(tables)
        self._blocks = tuple(blocks)
        self._offsets, total = offsets_by_width(tables.values())
        all_rows = 1 + sum(table.rows for table in tables.values())
        most = all_rows if first_order or further else max(total.values())
        self._row_dtype = tf.int32 if most < 2**31 else tf.int64
        self._fused = {
            dim: self.add_weight(
                name=f"width_{dim}",
                shape=(rows, dim),
                initializer=_initializer(initial_stddev, seed, dim),
            )
            for dim, rows in total.items()
        }
        self._places = places_together(tables.values())
        self._first_order: keras.Variable | None = None
        if first_order:
            # No width is 0: the numbers drawn are those of no other variable.
            self._first_order = self.add_weight(
                name="first_order",
                shape=(all_rows, 1),
                initializer=_initializer(initial_stddev, seed, 0),
            )
        # Nor is it negative.
        self._further = [
            self.add_weight(
                name=f"set_{number}",
                shape=(all_rows, dim),
                initializer=_initializer(initial_stddev, seed, -number),
            )
            for number, dim in enumerate(further, start=2)
        ]
        self._vocabularies = {
            table.name: self._add_vocabulary(table, vocabularies)
            for table in tables.values()
            if table.kind == "vocabulary"
        }
        self._vocabulary_rows = {
            table.name: self.add_weight(
                name=f"vocabulary_rows_{table.name}",
                shape=(table.rows - 1,),
                dtype="int64",
                trainable=False,
                initializer=lambda shape, dtype: tf.range(1, shape[0] + 1, dtype=dtype),
            )
            for table in tables.values()
            if table.spare
        }
        self.built = True

    @property
    def table_variables(self) -> list[keras.Variable]:
        """The fused variables, in order of first use; then first-order weights, and
        the further sets."""
        first_order = [] if self._first_order is None else [self._first_order]
        return [*self._fused.values(), *first_order, *self._further]

    @property
    def vocabulary_sizes(self) -> dict[str, int]:
        """Number of values of each vocabulary, by table."""
        return {
            t.name: t.rows - 1 - t.spare
            for t in self._tables.values()
            if t.kind == "vocabulary"
        }

    def growing(self) -> dict[str, tuple[keras.Variable, keras.Variable]]:
        """Returns, of each table with spare rows, the values that have one, sorted, and
        their rows inside the table: both int64 [values + spare]. Behind the values
        stand places that hold none, with the rows that are still to be given."""
        return {
            name: (self._vocabularies[name], rows)
            for name, rows in self._vocabulary_rows.items()
        }

    def rows_of(self, table: str, ids: tf.Tensor) -> tf.Tensor:
        """Returns the rows of `ids` inside their fused variable (any shape)."""
        return self._local_rows(self._tables[table], ids) + self._offsets[table]

    def call(self, ids: dict[str, tf.Tensor]) -> Found:
        """Looks up all blocks.

        Args:
            ids: int64 [B, k] for each block, by its name.
        """
        local = {b.name: self._local(b, ids[b.name]) for b in self._blocks}
        vectors: dict[str, tf.Tensor] = {}
        for dim, variable in self._fused.items():
            blocks = [b for b in self._blocks if self._dim(b) == dim]
            vectors |= self._look_up(variable, blocks, self._offsets, local, ids)
        weights: dict[str, tf.Tensor] = {}
        if self._first_order is not None:
            weights = self._look_up(
                self._first_order, self._blocks, self._places, local, ids
            )
            weights = {name: values[:, :, 0] for name, values in weights.items()}
        further = tuple(
            self._look_up(variable, self._blocks, self._places, local, ids)
            for variable in self._further
        )
        return Found(vectors, weights, further)

    def _look_up(
        self,
        variable: keras.Variable,
        blocks: Sequence[Block],
        offsets: Mapping[str, int],
        local: Mapping[str, tf.Tensor],
        ids: Mapping[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Looks up blocks in one variable, where tables start at `offsets`."""
        rows = []
        for block in blocks:
            starts = [offsets[table] for table in block.tables]
            placed = local[block.name] + tf.constant(starts, tf.int64)
            if block.padded:
                padding = ids[block.name] == PADDING
                placed = tf.where(padding, tf.zeros_like(placed), placed)
            rows.append(tf.cast(placed, self._row_dtype))
        found: dict[str, tf.Tensor] = {}
        for block, values in zip(blocks, self._gather(variable, rows), strict=True):
            columns = len(block.tables) if len(block.tables) > 1 else None
            columns = columns or ids[block.name].shape[1]
            shape = tf.shape(ids[block.name])
            shape = (shape[0], columns or shape[1], variable.shape[1])
            values = tf.reshape(values, shape)
            if block.padded:
                mask = tf.cast(ids[block.name] != PADDING, values.dtype)
                values *= mask[:, :, tf.newaxis]
            found[block.name] = values
        return found

    def _gather(
        self, variable: keras.Variable, rows: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        flat = [tf.reshape(r, (-1,)) for r in rows]
        if not flat:
            return []
        if len(flat) == 1:
            return [tf.gather(variable.value, flat[0])]
        vectors = tf.gather(variable.value, tf.concat(flat, axis=0))
        sizes = tf.stack([tf.size(r) for r in flat])
        return list(tf.split(vectors, sizes, axis=0, num=len(flat)))

    def _local(self, block: Block, ids: tf.Tensor) -> tf.Tensor:
        """Returns the rows of ids [B, k], each inside its own table."""
        tables = [self._tables[name] for name in block.tables]
        if len(tables) == 1:
            return self._local_rows(tables[0], ids)
        if all(table.kind != "vocabulary" for table in tables):
            sizes = tf.constant([table.rows for table in tables], tf.int64)
            return tf.math.floormod(ids, sizes)
        columns = zip(tables, tf.unstack(ids, num=len(tables), axis=1), strict=True)
        return tf.stack([self._local_rows(t, column) for t, column in columns], axis=1)

    def _local_rows(self, table: Table, ids: tf.Tensor) -> tf.Tensor:
        if table.kind != "vocabulary":
            return tf.math.floormod(ids, tf.constant(table.rows, tf.int64))
        vocabulary = self._vocabularies[table.name].value
        last = tf.constant(max(table.rows - 2, 0), tf.int64)
        # As tf.searchsorted, which fails on an empty batch.
        places = tf.raw_ops.LowerBound(
            sorted_inputs=vocabulary[tf.newaxis],
            values=tf.reshape(ids, (1, -1)),
            out_type=tf.int64,
        )
        places = tf.reshape(places, tf.shape(ids))
        found = tf.gather(vocabulary, tf.minimum(places, last)) == ids
        rows = places + 1
        if table.spare:
            given = self._vocabulary_rows[table.name].value
            rows = tf.gather(given, tf.minimum(places, last))
        return tf.where(found, rows, tf.zeros_like(rows))

    def _dim(self, block: Block) -> int:
        return self._tables[block.tables[0]].dim

    def _add_vocabulary(
        self, table: Table, vocabularies: Mapping[str, np.ndarray[Any, Any]] | None
    ) -> keras.Variable:
        # Where there is no value stands one that is no fingerprint.
        values = np.full(max(table.rows - 1, 1), FINGERPRINT_RANGE, np.int64)
        size = table.rows - 1 - table.spare
        if vocabularies is not None and size:
            values[:size] = _checked(table.name, vocabularies[table.name], size)
        return self.add_weight(
            name=f"vocabulary_{table.name}",
            shape=values.shape,
            dtype="int64",
            trainable=False,
            initializer=lambda shape, dtype: tf.constant(values, dtype),
        )


def _checked(
    name: str, values: np.ndarray[Any, Any], size: int
) -> np.ndarray[Any, Any]:
    values = np.asarray(values)
    if values.dtype != np.int64 or values.shape != (size,):
        raise ValueError(
            f"vocabulary of {name}: expected int64 [{size}], got {values.dtype}"
            f" {list(values.shape)}"
        )
    if np.any(np.diff(values) <= 0):
        raise ValueError(f"vocabulary of {name}: values must be sorted and distinct")
    return values


def _initializer(stddev: float, seed: int, number: int) -> Any:
    def initialize(shape: tuple[int, ...], dtype: Any) -> tf.Tensor:
        seeds = (derived_seed(seed, "tables"), number)
        values = tf.random.stateless_normal(
            (shape[0] - 1, shape[1]), seeds, stddev=stddev, dtype=dtype
        )
        return tf.concat([tf.zeros((1, shape[1]), dtype), values], axis=0)

    return initialize
