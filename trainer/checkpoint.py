"""Checkpoints: everything that training is, in one folder that appears at once.

    checkpoints/00001000/state.json       step, position, best so far, ...
    checkpoints/00001000/variables.index  TensorFlow's bundle format: weights, slots,
    checkpoints/00001000/variables.data-* random states; each tensor with a checksum

A checkpoint is written beside its place, flushed and renamed, so a process that is
killed at any moment leaves the earlier ones whole. Its own state names the best
checkpoint so far, so there is no second file that could disagree with it.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from pydantic import BaseModel, ConfigDict, ValidationError

from configs.errors import CheckpointError
from configs.publishing import publish_folder
from trainer.stream.state import SetMark, StreamState

__all__ = [
    "Best",
    "Checkpoints",
    "State",
    "Variables",
    "restore",
    "shapes_in",
    "tensors_in",
]

Variables = Mapping[str, "tf.Variable | keras.Variable"]

_STATE = "state.json"
_VARIABLES = "variables"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Best(_Record):
    """The best evaluation so far.

    Attributes:
        step: after which it was made; its checkpoint is kept.
        value: of the metric.
    """

    step: int
    value: float


class State(_Record):
    """What a checkpoint holds besides variables.

    Attributes:
        step: steps made.
        epoch: epochs completed.
        row: rows of the current epoch that are trained on.
        batch: batches of the current epoch, for callbacks.
        model: fingerprint of the model contract.
        examples: digest of the training files.
        last_set: the last of their example sets; a stream goes on behind it. None in
            checkpoints from before it was written down.
        seed: of the order of rows.
        order: what that depends on besides, in words.
        learning_rate: of the dense optimizer, as the job had it: callbacks may have
            changed the rate that is in use.
        evaluated: step of the last evaluation, 0 if there was none.
        best: so far, by `training.select_by`.
        stopping_best: so far, by `training.early_stopping.metric`.
        without_improvement: evaluations since `stopping_best`.
        validation: metrics of the last evaluation, by task.
        loss_sums: of the steps since the last log line.
        epoch_loss_sums: of the steps of this epoch before those.
        stream: how far a stream was learned; None in runs over whole example sets.
    """

    step: int = 0
    epoch: int = 0
    row: int = 0
    batch: int = 0
    model: str
    examples: str
    last_set: SetMark | None = None
    seed: int
    order: str | None = None
    learning_rate: float | None = None
    evaluated: int = 0
    best: Best | None = None
    stopping_best: float | None = None
    without_improvement: int = 0
    validation: dict[str, Any] = {}
    loss_sums: list[float] = []
    epoch_loss_sums: list[float] = []
    stream: StreamState | None = None


@dataclass
class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: they lie in.
        keep: how many of the newest are kept; the best is kept besides.
    """

    folder: Path
    keep: int = 2
    _state: State | None = field(default=None, init=False)

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdigit())

    def path(self, step: int) -> Path:
        """Returns the folder of the checkpoint after `step`."""
        return self.folder / f"{step:08d}"

    def find(self, which: str = "last") -> Path:
        """Returns the folder of the checkpoint called `last`, `best`, or by its step;
        or by its folder, such as that of one that was published.

        Without any evaluation there is no best one, and the last is taken.

        Raises:
            CheckpointError: if there is none.
        """
        if "/" in which:
            if not (Path(which) / _STATE).is_file():
                raise CheckpointError(f"{which} is no checkpoint: it has no {_STATE}")
            return Path(which)
        steps = self.steps()
        if not steps:
            raise CheckpointError(
                f"{self.folder} holds no checkpoint: run `python -m trainer train JOB`"
                " first, or name another run"
            )
        step = steps[-1]
        if which == "best":
            best = read_state(self.path(step)).best
            step = step if best is None else best.step
        elif which.isdigit():
            step = int(which)
        elif which != "last":
            raise CheckpointError(
                f"no checkpoint is called {which!r}: expected best, last or a step"
            )
        if step not in steps:
            raise CheckpointError(
                f"there is no checkpoint of step {step} in {self.folder}; there are"
                f" those of {steps}"
            )
        return self.path(step)

    def write(
        self,
        state: State,
        variables: Variables,
        tensors: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes a checkpoint, then removes those that are no longer kept.

        Args:
            state: at its step.
            variables: by name.
            tensors: arrays that it holds besides, by name; see `tensors_in`.

        Raises:
            CheckpointError: if the disk is full, say; earlier checkpoints stay.
        """
        try:
            with publish_folder(self.path(state.step), overwrite=True) as partial:
                save(partial / _VARIABLES, {**variables, **(tensors or {})})
                text = state.model_dump_json(indent=1)
                (partial / _STATE).write_text(text, encoding="utf-8")
        except (OSError, tf.errors.OpError) as error:
            raise CheckpointError(
                f"the checkpoint of step {state.step} could not be written to"
                f" {self.folder}: {error}. Earlier checkpoints are untouched: make"
                " room, then go on with --resume"
            ) from error
        kept = set(self.steps()[-self.keep :])
        if state.best is not None:
            kept.add(state.best.step)
        for step in set(self.steps()) - kept:
            shutil.rmtree(self.path(step))

    def state_of_oldest(self) -> State:
        """Returns the state of the oldest checkpoint that is kept.

        Raises:
            CheckpointError: if there is none, or it is damaged.
        """
        return read_state(self.path(self.steps()[0]) if self.steps() else self.find())

    def sweep(self) -> None:
        """Removes what a killed process left half written, and puts back what it had
        put aside to replace it."""
        if not self.folder.is_dir():
            return
        for path in self.folder.glob(".*.partial-*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob(".*.retired-*"):
            target = self.folder / path.name[1:].partition(".retired-")[0]
            if target.exists():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.rename(target)


def read_state(checkpoint: Path) -> State:
    """Reads the state of a checkpoint.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    try:
        return State.model_validate_json((checkpoint / _STATE).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise CheckpointError(
            f"{checkpoint / _STATE} cannot be read: {error}"
        ) from error


def save(prefix: Path, variables: Mapping[str, Any]) -> None:
    """Writes variables and arrays by name, with the values of the first replica."""
    names = list(variables)
    tensors = [tf.convert_to_tensor(_native(variables[name])) for name in names]
    with tf.device("CPU:0"):
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=tensors,
        )


def restore(checkpoint: Path, variables: Variables) -> None:
    """Assigns all of `variables`; the checkpoint may hold more.

    Raises:
        CheckpointError: if one is missing or has another shape or dtype, or the
            checkpoint is damaged. Nothing is assigned then, unless a file is damaged.
    """
    found = shapes_in(checkpoint)
    problems = []
    for name, variable in variables.items():
        native = _native(variable)
        expected = (tuple(native.shape.as_list()), native.dtype.name)
        if name not in found:
            problems.append(f"{name}: absent")
        elif found[name] != expected:
            problems.append(f"{name}: has {found[name]}, the model has {expected}")
    if problems:
        raise CheckpointError(
            f"{checkpoint} is not of this model:\n  "
            + "\n  ".join(problems[:20])
            + "\nUse the job that it was trained with"
        )
    for name, variable in variables.items():
        native = _native(variable)
        try:
            # One at a time: two copies of all tables might not fit.
            value = tf.raw_ops.RestoreV2(
                prefix=str(checkpoint / _VARIABLES),
                tensor_names=[name],
                shape_and_slices=[""],
                dtypes=[native.dtype],
            )[0]
        except tf.errors.OpError as error:
            raise CheckpointError(
                f"{checkpoint} is damaged ({error.message}): remove this folder, and"
                " the one before it will be used"
            ) from error
        native.assign(value)


def shapes_in(checkpoint: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Returns shape and dtype of the variables of a checkpoint by name.

    Raises:
        CheckpointError: if it is damaged.
    """
    try:
        reader = tf.train.load_checkpoint(str(checkpoint / _VARIABLES))
        dtypes = reader.get_variable_to_dtype_map()
        shapes = reader.get_variable_to_shape_map()
    except Exception as error:  # TensorFlow raises several types for one damage
        raise CheckpointError(
            f"{checkpoint} is damaged ({error}): remove this folder, and the one before"
            " it will be used"
        ) from error
    return {name: (tuple(shapes[name]), dtypes[name].name) for name in shapes}


def tensors_in(checkpoint: Path, names: Sequence[str]) -> dict[str, Any]:
    """Returns those of the named tensors that a checkpoint holds, as arrays.

    Raises:
        CheckpointError: if it is damaged.
    """
    found = shapes_in(checkpoint)
    reader = tf.train.load_checkpoint(str(checkpoint / _VARIABLES))
    return {name: reader.get_tensor(name) for name in names if name in found}


def _native(variable: Any) -> Any:
    return variable.value if isinstance(variable, keras.Variable) else variable
