"""The frame of the table optimizers: rows are summed once, and updated in one scatter.

A step costs as much as the batch has distinct rows, whatever the size of the table.
With g the summed gradient of a row w that the batch touches, an optimizer changes w and
its slots; rows that the batch does not touch do not change at all (`adam`, which is
there to compare with, excepted).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import keras
import tensorflow as tf

from configs.training import EmbeddingOptimizer
from trainer.optimizers.rows import Rows
from trainer.optimizers.schedule import share_of_rate

__all__ = ["Moment", "SparseOptimizer"]


class Moment(NamedTuple):
    """When an update is made.

    Attributes:
        rate: [] float32, learning rate of this update.
        step: [] float32, number of this update, from 1.
    """

    rate: tf.Tensor
    step: tf.Tensor


class SparseOptimizer(ABC):
    """Updates the rows of embedding tables that a batch touches.

    To the gradient of a touched row w comes `l2` * w; `weight_decay` takes rate *
    weight_decay * w off it besides.

    Args:
        options: its section of the job.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    """Names of the slots: variables of the table's shape, or of one value a row."""

    def __init__(self, options: EmbeddingOptimizer) -> None:
        self.options = options
        self.epsilon = options.epsilon_in_use
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
                            self._initial_slot(name, table), trainable=False, name=name
                        )
                        for name in self.slots
                    }
                )

    def apply(self, rows: Sequence[Rows | None], scale: tf.Tensor) -> None:
        """Updates all tables; in cross-replica context, where there are replicas.

        Args:
            rows: the touched rows of each table (per replica, all alike), distinct;
                None where a table took no part in the loss.
            scale: [] float32, multiplies the scheduled learning rate.
        """
        strategy = tf.distribute.get_strategy()
        if self.steps is None:
            raise RuntimeError("build() comes before apply()")
        share = share_of_rate(self.options.schedule, self.steps.read_value())
        self.steps.assign_add(1)
        moment = Moment(
            rate=self.options.learning_rate * scale * share,
            step=tf.cast(self.steps.read_value(), tf.float32),
        )
        for table, slots, touched in zip(self.tables, self._slots, rows, strict=True):
            if touched is None:
                continue
            strategy.extended.update(
                table,
                self._update,
                args=(tuple(slots.values()), touched.ids, touched.gradients),
                kwargs={"moment": moment},
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
        moment: Moment,
    ) -> None:
        if self.options.l2:
            gradients += self.options.l2 * tf.gather(table, ids)
        self._update_rows(table, slots, Rows(ids, gradients), moment)

    @abstractmethod
    def _update_rows(
        self,
        table: tf.Variable,
        slots: tuple[tf.Variable, ...],
        rows: Rows,
        moment: Moment,
    ) -> None:
        """Updates a table and its slots on one device.

        Args:
            table: [V, dim] float32.
            slots: in the order of the attribute `slots`.
            rows: distinct, with their gradients.
            moment: of the update.
        """

    def _subtract(
        self, table: tf.Variable, ids: tf.Tensor, change: tf.Tensor, moment: Moment
    ) -> None:
        """Takes `change` and the weight decay off the rows, in one scatter."""
        if self.options.weight_decay:
            share = moment.rate * self.options.weight_decay
            change += share * tf.gather(table, ids)
        table.scatter_sub(tf.IndexedSlices(change, ids))

    def _initial_slot(self, name: str, table: tf.Variable) -> tf.Tensor:
        del name
        return tf.zeros(table.shape)
