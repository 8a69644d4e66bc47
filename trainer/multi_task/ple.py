"""PLE: layers of shared experts and experts of each task (Tang et al. 2020)."""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from configs.multi_task import PLE as Config
from trainer.multi_task.experts import Experts, Gate
from trainer.multi_task.towers import Towers

__all__ = ["PLE", "CustomizedGateControl"]


class CustomizedGateControl(keras.layers.Layer):  # type: ignore[misc]
    """One layer of PLE (CGC), with a state for each task and a shared one.

    A task's experts see the task's state, shared experts the shared state. The task's
    gate decides by its state and mixes its own and the shared experts; the shared gate
    decides by the shared state and mixes all of them.

    Args:
        config: of PLE.
        tasks: their names.
        input_width: of all states.
        shared_gate: whether a shared state comes out, which the last layer has no use
            for.
    """

    def __init__(
        self,
        config: Config,
        tasks: Sequence[str],
        input_width: int,
        *,
        shared_gate: bool,
        name: str,
        seed: int,
    ) -> None:
        super().__init__(name=name)

        def experts(count: int, whose: str) -> Experts:
            return Experts(
                count,
                input_width,
                config.expert,
                dropout=config.dropout,
                name=f"{name}_expert_{whose}",
                seed=seed,
            )

        self._shared = experts(config.shared_experts, "shared")
        self._own = {t: experts(config.task_experts, f"task_{t}") for t in tasks}
        seen = config.task_experts + config.shared_experts
        self._gates = {
            task: Gate(seen, input_width, name=f"{name}_gate_task_{task}", seed=seed)
            for task in tasks
        }
        self._shared_gate = None
        if shared_gate:
            self._shared_gate = Gate(
                len(tasks) * config.task_experts + config.shared_experts,
                input_width,
                name=f"{name}_gate_shared",
                seed=seed,
            )
        self.built = True

    def call(
        self,
        states: Mapping[str, tf.Tensor],
        shared_state: tf.Tensor,
        training: bool = False,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Maps the states, float32 [B, input_width] each, to those of the next layer;
        without a shared gate the shared state is returned as it came."""
        shared = self._shared(shared_state, training=training)
        own = {
            task: layer(states[task], training=training)
            for task, layer in self._own.items()
        }
        mixed = {
            task: gate(states[task], [*own[task], *shared])
            for task, gate in self._gates.items()
        }
        if self._shared_gate is not None:
            every = [expert for experts in own.values() for expert in experts]
            shared_state = self._shared_gate(shared_state, [*every, *shared])
        return mixed, shared_state


class PLE(keras.layers.Layer):  # type: ignore[misc]
    """CGC layers one over another, then a tower for each task.

    Args:
        config: its section of the job.
        tasks: their names.
        input_width: of the backbone's hidden vector, the first state of all.
        seed: of the initial weights.
    """

    def __init__(
        self, config: Config, tasks: Sequence[str], input_width: int, *, seed: int
    ) -> None:
        super().__init__(name="multi_task")
        self._tasks = tuple(tasks)
        self._layers_of_experts = [
            CustomizedGateControl(
                config,
                tasks,
                config.expert[-1] if number else input_width,
                shared_gate=number < config.layers - 1,
                name=f"multi_task_{number}",
                seed=seed,
            )
            for number in range(config.layers)
        ]
        self._towers = Towers(
            tasks,
            config.expert[-1],
            config.tower,
            dropout=config.dropout,
            name="multi_task_tower",
            seed=seed,
        )
        self.width = self._towers.width
        self.built = True

    def call(self, hidden: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Maps float32 [B, input_width] to [B, width] for each task."""
        states, shared = dict.fromkeys(self._tasks, hidden), hidden
        for layer in self._layers_of_experts:
            states, shared = layer(states, shared, training=training)
        vectors: dict[str, tf.Tensor] = self._towers(states, training=training)
        return vectors
