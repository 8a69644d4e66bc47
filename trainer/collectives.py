"""What replicas say to each other. Off-strategy, and on one replica, the identity.

Every in-batch term that is to see the global batch goes through this file. The global
batch is the shares one after another, in the order of the replicas.

    own share ──gather_rows──▶ global batch ──loss──▶ rows ──[start:stop]──▶ own rows
        ▲                          │                                            │
        └── own part ◀── summed over the replicas ◀── gradient ◀── sum / n ◀────┘

Each replica gives its share of a value, and the shares sum up to the value; gradients
are summed over the replicas in the end. So a gathered row gets its gradient from all
replicas: backward, `gather_rows` sums over them and keeps the own part.

What crosses devices in a step, with B rows and R replicas (each replica sends its own
part and receives all others'):

| term | forward | backward |
| --- | --- | --- |
| number of rows of each share | 4 R bytes, once for each gathering | - |
| number of rows a mask leaves, of pointwise losses | 4 bytes for each task | - |
| an in-batch loss | 4 B each: logits, labels, weights, masks; 8 B: contexts | 4 B |
| JRC | 4 B more: its second logit | 4 B more |
| PWiseR | 4 B more: the conversion | - |
| Combined-Contrastive | 4 B H more: the hidden vectors of width H | 4 B H |
| UIM | 8 B D: both projections of width D; 24 B: ids and labels | 8 B D |
| NIP | 8 B keys; 8 T d: states and targets; 24 T: ids and positions | 8 T d |
| DMR | 8 B: items; 4 B d more with `targets: shared` | 0, or 4 B d |
| DeepMCP's correlation | 8 B keys; 4 M D: vectors; 8 M: items; 4 bytes: pairs | 4 M D |
| CL4CTR's contrast, DeepMCP's matching | 4 bytes: rows | - |
| CL4CTR's alignment | 8 B F: values; 4 F d: sums | - |
| CL4CTR's uniformity | 8 B F: values; 4 R F d: sums | 4 R F d |
| DIEN's own | 4 N d: behaviours; 8 N: items | 4 N d |
| DBPMaN's own | 8 B keys; 8 U rows; 4 U P D: paths of width D | 4 U P D |

T are the targets of NIP, M the behaviours of all U distinct histories, N those of all
rows that follow another, P the paths of a history, d the width of a behaviour or
embedding, F the fields. Pointwise losses gather nothing.

Call everything here in a replica context (inside `strategy.run`, itself inside
`tf.function`), on every replica alike and in the same order, not under `tf.cond` or
`tf.while_loop`: replicas wait for each other.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from trainer.traffic import exchanged

__all__ = ["Share", "alone", "gather_all", "gather_rows", "global_sum", "own_share_of"]


class Share(NamedTuple):
    """The rows of the global batch that are a replica's own: start to stop.

    Attributes:
        start: int32 scalar.
        stop: int32 scalar, behind the last one.
    """

    start: tf.Tensor
    stop: tf.Tensor

    def of(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the own rows of gathered `values` [B, ...]."""
        return values[self.start : self.stop]


def alone() -> bool:
    """Returns whether there is no other replica: the own rows are the global batch."""
    return _several() is None


def global_sum(value: tf.Tensor) -> tf.Tensor:
    """Returns the sum of `value` over the replicas, without a gradient."""
    value = tf.stop_gradient(value)
    context = _several()
    if context is None:
        return value
    exchanged("in-batch terms", [value])
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def gather_rows(values: tf.Tensor) -> tf.Tensor:
    """Concatenates the shares of all replicas.

    The gradient of a floating-point tensor is the true one: that of all replicas.

    Args:
        values: [b, ...] of bool, an integer or a floating-point type. b may differ
            between replicas and may be 0; rank, type and all other dimensions agree.

    Returns:
        [B, ...], the same on every replica, in the order of the replicas.
    """
    return gather_all([values])[0][0]


def own_share_of(values: tf.Tensor) -> Share:
    """Returns where the rows of `values` [b, ...] lie in the global batch."""
    return gather_all([values])[1]


def gather_all(values: Sequence[tf.Tensor]) -> tuple[list[tf.Tensor], Share]:
    """Gathers several tensors of the same b rows.

    Those of one kind (floating-point, or integer and bool) travel in one message.

    Args:
        values: each as in `gather_rows`; at least one.

    Returns:
        The gathered tensors, in their order, and where the own rows are in them.
    """
    values = [tf.convert_to_tensor(value) for value in values]
    rows = tf.shape(values[0])[0]
    context = _several()
    if context is None:
        return values, Share(tf.zeros_like(rows), rows)
    share = _place_of(rows, context)
    gathered: dict[int, tf.Tensor] = {}
    for carrier in sorted({_carrier(value) for value in values}, key=str):
        chosen = [k for k, value in enumerate(values) if _carrier(value) == carrier]
        packed = [_columns(values[k], carrier) for k in chosen]
        widths = [tf.shape(columns)[1] for columns in packed]
        together = _gathered(tf.concat(packed, axis=1), share, context)
        for k, columns in zip(chosen, tf.split(together, widths, axis=1), strict=True):
            gathered[k] = _as_rows_of(values[k], columns)
    return [gathered[k] for k in range(len(values))], share


def _several() -> tf.distribute.ReplicaContext | None:
    """Returns the replica context, or None where there are no other replicas."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context


def _place_of(rows: tf.Tensor, context: tf.distribute.ReplicaContext) -> Share:
    exchanged("in-batch terms", [rows])
    counts = context.all_gather(tf.reshape(rows, [1]), axis=0)
    replica = tf.convert_to_tensor(context.replica_id_in_sync_group)
    start = tf.reduce_sum(counts[:replica])
    return Share(start, start + rows)


def _carrier(value: tf.Tensor) -> tf.DType:
    """Returns the type in which a tensor travels: collectives have not all types."""
    if not value.dtype.is_floating:
        return tf.int64
    return tf.float64 if value.dtype == tf.float64 else tf.float32


def _columns(value: tf.Tensor, carrier: tf.DType) -> tf.Tensor:
    """Returns [b, all other dimensions in one]; b may be 0, so no -1 stands for it."""
    shape = tf.shape(value)
    return tf.reshape(tf.cast(value, carrier), [shape[0], tf.reduce_prod(shape[1:])])


def _as_rows_of(value: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Undoes `_columns`: [B, k] to [B, ...], of the type of `value` [b, ...]."""
    shape = tf.concat([tf.shape(columns)[:1], tf.shape(value)[1:]], axis=0)
    rows = tf.cast(tf.reshape(columns, shape), value.dtype)
    return tf.ensure_shape(rows, [None, *value.shape[1:]])


def _gathered(
    values: tf.Tensor, share: Share, context: tf.distribute.ReplicaContext
) -> tf.Tensor:
    """Gathers [b, k] to [B, k], with the true gradient of floating-point values."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def gather(values: tf.Tensor) -> tuple[tf.Tensor, Any]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            exchanged("in-batch terms", [upstream])
            total = context.all_reduce(tf.distribute.ReduceOp.SUM, upstream)
            return share.of(total)

        # Different lengths are padded and cut again in there.
        return context.all_gather(values, axis=0), gradient

    exchanged("in-batch terms", [values])
    return gather(values) if values.dtype.is_floating else context.all_gather(values, 0)
