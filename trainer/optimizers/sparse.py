"""The frame of the sparse optimizers: rows are gathered, summed once, and updated.

A step costs as much as the batch has distinct rows, whatever the size of the table.
With g the summed gradient of a row w that the batch touches, an optimizer supplies the
change of w and of its slots; rows that the batch does not touch do not change at all.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import keras
import tensorflow as tf

from trainer.optimizers.rows import Rows

__all__ = ["SparseOptimizer"]


class SparseOptimizer(ABC):
    """Updates the rows of embedding tables that a batch touches.

    Args:
        learning_rate: multiplied with the `scale` of each step.
        l2: adds l2 * w to the gradient of each touched row w.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    """Names of the slots: variables of the table's shape, or of one value a row."""

    def __init__(self, *, learning_rate: float, l2: float = 0.0) -> None:
        self.learning_rate = learning_rate
        self.l2 = l2
        self.tables: list[tf.Variable] = []
        self.steps: tf.Variable | None = None
        self._slots: list[dict[str, tf.Variable]] = []

    def build(self, tables: Sequence[keras.Variable]) -> None:
        """Creates the slots beside the tables. Called under the strategy's scope."""
        self.tables = [table.value for table in tables]
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="steps")
        extended = tf.distribute.get_strategy().extended
        for table in self.tables:
            with extended.colocate_vars_with(table):
                self._slots.append(
                    {
                        name: tf.Variable(
                            self._initial_slot(name, table.shape),
                            trainable=False,
                            name=name,
                        )
                        for name in self.slots
                    }
                )

    def apply(self, rows: Sequence[Rows | None], scale: tf.Tensor) -> None:
        """Updates all tables; in cross-replica context, where there are replicas.

        Args:
            rows: the touched rows of each table (per replica, all alike), distinct;
                None where a table took no part in the loss.
            scale: [] float32, multiplies the learning rate.
        """
        strategy = tf.distribute.get_strategy()
        if self.steps is None:
            raise RuntimeError("build() comes before apply()")
        self.steps.assign_add(1)
        rate = self.learning_rate * scale
        step = tf.cast(self.steps.read_value(), tf.float32)
        for table, slots, touched in zip(self.tables, self._slots, rows, strict=True):
            if touched is None:
                continue
            strategy.extended.update(
                table,
                self._update,
                args=(tuple(slots.values()), touched.ids, touched.gradients),
                kwargs={"rate": rate, "step": step},
                group=False,
            )

    def variables(self, names: Sequence[str]) -> dict[str, tf.Variable]:
        """Returns what a checkpoint must hold, `names` being those of the tables."""
        if self.steps is None:
            raise RuntimeError("build() comes before variables()")
        named = {"steps": self.steps}
        for name, slots in zip(names, self._slots, strict=True):
            for slot, variable in slots.items():
                named[f"{slot}/{name}"] = variable
        return named

    def slot_bytes(self) -> int:
        """Returns the memory of all slots on one device."""
        return sum(
            variable.shape.num_elements() * variable.dtype.size
            for slots in self._slots
            for variable in slots.values()
        )

    def _update(
        self,
        table: tf.Variable,
        slots: tuple[tf.Variable, ...],
        ids: tf.Tensor,
        gradients: tf.Tensor,
        *,
        rate: tf.Tensor,
        step: tf.Tensor,
    ) -> None:
        if self.l2:
            gradients += self.l2 * tf.gather(table, ids)
        change = self._change(slots, ids, gradients, step)
        table.scatter_sub(tf.IndexedSlices(rate * change, ids))

    @abstractmethod
    def _change(
        self,
        slots: tuple[tf.Variable, ...],
        ids: tf.Tensor,
        gradients: tf.Tensor,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Updates the slots and returns what to subtract, without learning rate.

        Args:
            slots: in the order of the attribute `slots`.
            ids: [N] int, distinct.
            gradients: [N, dim] float32.
            step: [] float32, number of this step, from 1.

        Returns:
            [N, dim] float32.
        """

    def _initial_slot(self, name: str, shape: tf.TensorShape) -> tf.Tensor:
        return tf.zeros(shape)
