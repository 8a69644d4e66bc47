"""One training step: gradients, a check, and two optimizers, in one `tf.function`.

    shares of the batch ──▶ losses, gradients   on each replica
                            summed over replicas (table rows are gathered)
                            all finite?  no ──▶ nothing changes, the step is counted
                                        yes ──▶ dense: Keras optimizer
                                                tables: sparse optimizer

Nothing in it waits for the host. Losses are summed on the device and read when
somebody asks for them. Several steps can be made in one call: they are the same steps,
one after another in one graph.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import keras
import tensorflow as tf

from configs.errors import DataError
from trainer.inputs.diagnosis import plain_message
from trainer.inputs.examples import Batch
from trainer.optimizers.clipping import share_within, square_norm
from trainer.optimizers.rows import Rows, gather_rows
from trainer.optimizers.sparse import SparseOptimizer
from trainer.shares import own_share
from trainer.traffic import exchanged

__all__ = ["Gradients", "Trainable", "TrainingStep", "train_on"]


class Trainable(Protocol):
    """What the step needs of a training model."""

    table_variables: Sequence[keras.Variable]
    """Embedding tables; their gradients come as `tf.IndexedSlices`."""
    dense_variables: Sequence[keras.Variable]
    """All other trainable variables."""

    def compute_losses(
        self, batch: Batch, training: bool = True
    ) -> Mapping[str, tf.Tensor]:
        """Returns scalars: the total as "loss", and its parts. On each replica they
        are its share: the sum over replicas is the value of the batch."""
        ...


class Gradients(NamedTuple):
    """Of the whole batch, the same on every replica."""

    losses: tf.Tensor  # [parts] float64
    finite: tf.Tensor  # [] bool
    dense: list[tf.Tensor]
    tables: list[Rows]


class TrainingStep:
    """Trains `model`, a batch a step.

    Args:
        model: with all its variables created.
        dense: optimizer of its dense variables, built.
        tables: optimizer of its tables, built.
        element_spec: of the shares of a batch, one per replica.
        clip_norm: limit of the global norm of the dense gradients.
        max_bad_steps: after so many steps in a row that are not finite none is made
            any more, until somebody looks at `skipped_in_a_row`.
        steps_per_call: steps that one call of the compiled function makes.
    """

    def __init__(
        self,
        model: Trainable,
        *,
        dense: keras.optimizers.Optimizer,
        tables: SparseOptimizer,
        element_spec: tuple[dict[str, tf.TensorSpec], ...],
        clip_norm: float | None = None,
        max_bad_steps: int = 10,
        steps_per_call: int = 1,
    ) -> None:
        self.model = model
        self.dense = dense
        self.tables = tables
        self.skipped = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.skipped_in_a_row = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._clip_norm = clip_norm
        self._max_bad_steps = max_bad_steps
        self._initial_rate = float(dense.learning_rate.numpy())
        self._loss_names: list[str] = []
        self._used_tables: list[int] = []
        self._sums: tf.Tensor | None = None
        self._steps_per_call = steps_per_call
        self._one_step = self._compiled(element_spec, 1)
        self._many_steps = self._compiled(element_spec, steps_per_call)

    def __call__(self, *batches: tuple[Batch, ...]) -> None:
        """Trains on batches in their order, each given as one share per replica."""
        sums = tf.zeros([0], tf.float64) if self._sums is None else self._sums
        if len(batches) == self._steps_per_call:
            sums = self._many_steps(batches, sums)
        else:
            for shares in batches:
                sums = self._one_step((shares,), sums)
        self._sums = sums

    def _compiled(
        self, element_spec: tuple[dict[str, tf.TensorSpec], ...], steps: int
    ) -> Any:
        signature = [(element_spec,) * steps, tf.TensorSpec([None], tf.float64)]
        # No Python branches on tensors are used, so AutoGraph would only slow tracing.
        return tf.function(self._steps, input_signature=signature, autograph=False)

    def _steps(
        self, batches: tuple[tuple[Batch, ...], ...], sums: tf.Tensor
    ) -> tf.Tensor:
        for shares in batches:
            row = self._step(shares)
            # At the start there are no sums, not even their number is known.
            missing = tf.size(row) - tf.size(sums)
            sums = tf.pad(sums, [[0, missing]]) + row
        return sums

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses; known after the first step."""
        return tuple(self._loss_names)

    def sums(self) -> list[float]:
        """Returns the number of good steps since `reset_sums`, and the sums of their
        losses in the order of `loss_names`; nothing if there were no steps. Waits for
        the device."""
        return [] if self._sums is None else [float(x) for x in self._sums.numpy()]

    def means(self, sums: Sequence[float]) -> dict[str, float]:
        """Returns the mean losses by name of what `sums` gave; none without steps."""
        if not sums or not sums[0]:
            return {}
        steps, *totals = sums
        return {n: x / steps for n, x in zip(self.loss_names, totals, strict=True)}

    def reset_sums(self, sums: Sequence[float] = ()) -> None:
        """Starts the sums again, or goes on with those of a checkpoint."""
        self._sums = tf.constant(list(sums), tf.float64) if sums else None

    def _step(self, shares: tuple[Batch, ...]) -> tf.Tensor:
        """Returns 1 and the losses; zeros if the step was skipped."""
        strategy = tf.distribute.get_strategy()
        gradients = strategy.run(self.gradients, args=(shares,))
        losses = strategy.experimental_local_results(gradients.losses)[0]
        finite = strategy.experimental_local_results(gradients.finite)[0]
        in_a_row = self.skipped_in_a_row.read_value()
        # Too many in a row end training, whenever the host looks: no good step may
        # hide them in the meantime.
        good = finite & (in_a_row < self._max_bad_steps)

        def apply() -> tf.Tensor:
            self._apply(gradients)
            return tf.constant(True)

        tf.cond(good, apply, lambda: tf.constant(False))
        bad = tf.cast(tf.logical_not(good), tf.int64)
        self.skipped.assign_add(bad)
        self.skipped_in_a_row.assign((in_a_row + 1) * bad)
        row = tf.concat([tf.ones([1], tf.float64), losses], 0)
        return tf.where(good, row, tf.zeros_like(row))

    def gradients(self, shares: tuple[Batch, ...]) -> Gradients:
        """On one replica: gradients of the whole batch."""
        context = tf.distribute.get_replica_context()
        batch = own_share(shares)
        table_variables = [v.value for v in self.model.table_variables]
        dense_variables = [v.value for v in self.model.dense_variables]
        with tf.GradientTape() as tape:
            losses = self.model.compute_losses(batch, training=True)
        gradients = tape.gradient(losses["loss"], table_variables + dense_variables)
        slices = gradients[: len(table_variables)]
        dense = [
            tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
            for v, g in zip(
                dense_variables, gradients[len(table_variables) :], strict=True
            )
        ]
        self._loss_names = list(losses)
        self._used_tables = [k for k, g in enumerate(slices) if g is not None]
        stacked = tf.stack([tf.cast(x, tf.float64) for x in losses.values()])
        if context.num_replicas_in_sync > 1:
            total = tf.distribute.ReduceOp.SUM
            exchanged("sums of losses", [stacked])
            exchanged("dense gradients", dense)
            stacked = context.all_reduce(total, stacked)
            dense = context.all_reduce(total, dense) if dense else []
        rows = [gather_rows(slices[k]) for k in self._used_tables]
        return self._checked(stacked, dense, rows)

    def _checked(
        self, losses: tf.Tensor, dense: list[tf.Tensor], rows: list[Rows]
    ) -> Gradients:
        """Checks, and clips what is to be clipped."""
        dense_square = square_norm(dense)
        rows_square = square_norm([r.gradients for r in rows])
        # NaN and infinity survive the sums of squares, which read memory once.
        finite = tf.reduce_all(tf.math.is_finite(losses))
        finite &= tf.math.is_finite(dense_square + rows_square)
        if self._clip_norm is not None:
            share = share_within(self._clip_norm, dense_square)
            dense = [share * gradient for gradient in dense]
        tables_limit = self.tables.options.clip_norm
        if tables_limit is not None:
            share = share_within(tables_limit, rows_square)
            rows = [Rows(r.ids, share * r.gradients) for r in rows]
        return Gradients(losses, finite, dense, rows)

    def _apply(self, gradients: Any) -> None:
        """In cross-replica context: updates all variables."""
        tf.distribute.get_strategy().run(self._apply_dense, args=(gradients.dense,))
        rows: list[Rows | None] = [None] * len(self.model.table_variables)
        for k, touched in zip(self._used_tables, gradients.tables, strict=True):
            rows[k] = touched
        # A callback that changes the dense learning rate changes both alike.
        rate = tf.convert_to_tensor(self.dense.learning_rate)
        self.tables.apply(rows, rate / self._initial_rate)

    def _apply_dense(self, gradients: list[tf.Tensor]) -> None:
        self.dense.apply(gradients, self.model.dense_variables)


def train_on(
    training_step: TrainingStep, batches: Sequence[tuple[Batch, ...]], *, step: int
) -> None:
    """Makes a step on each of the batches.

    Args:
        training_step: that makes them.
        batches: each as one share per replica.
        step: number of steps made before, for messages.

    Raises:
        DataError: if a step cannot be computed on its batch.
    """
    try:
        training_step(*batches)
    except tf.errors.InvalidArgumentError as error:
        last = step + len(batches)
        steps = f"step {last}" if len(batches) == 1 else f"a step up to {last}"
        raise DataError(
            f"{steps} cannot be computed: {plain_message(error)}. An id may lie"
            " outside its table: run `python -m preprocessing check`"
        ) from error
