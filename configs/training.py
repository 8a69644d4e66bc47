"""How a model is trained: batches, optimizers, devices, checkpoints."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from configs.section import Section

__all__ = [
    "DenseOptimizer",
    "EarlyStopping",
    "EmbeddingOptimizer",
    "Optimizers",
    "Schedule",
    "Training",
]

_KERAS_EPSILON = 1e-7
_PYTORCH_EPSILON = 1e-10


class Schedule(Section):
    """How a learning rate moves, as a function of the updates made so far: it rises
    linearly over `warmup_steps`, then falls from `learning_rate` to
    `final_share * learning_rate` within `decay_steps`, and stays there."""

    name: Literal["constant", "linear", "cosine", "exponential"] = "constant"
    """The form of the fall; `constant` does not fall."""
    warmup_steps: NonNegativeInt = 0
    """Update number k of these, from 1, has k / warmup_steps of the rate."""
    decay_steps: PositiveInt | None = None
    """Updates of the fall; all but `constant` need it."""
    final_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Of `learning_rate`, at the end of the fall; above 0 for `exponential`."""

    @model_validator(mode="after")
    def _check_decay(self) -> Self:
        if self.name == "constant" and self.decay_steps is not None:
            raise ValueError(
                "decay_steps has no effect on a constant rate: set name to linear,"
                " cosine or exponential, or leave decay_steps out"
            )
        if self.name != "constant" and self.decay_steps is None:
            raise ValueError(
                f"a {self.name} schedule needs decay_steps, the updates within which"
                " the rate falls: the number of steps of the training, say"
            )
        if self.name == "exponential" and not self.final_share:
            raise ValueError(
                "an exponential schedule never reaches 0: set final_share above 0, the"
                " share of the rate after decay_steps (0.01, say)"
            )
        return self


class DenseOptimizer(Section):
    """A Keras optimizer for everything but the embedding tables."""

    name: Literal["adam", "adamw", "adagrad", "sgd"] = "adam"
    learning_rate: PositiveFloat = 0.001
    schedule: Schedule = Schedule()
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled, of kernels only (adamw)."""
    clip_norm: PositiveFloat | None = None
    """Clips the global norm of the dense gradients."""


class EmbeddingOptimizer(Section):
    """The optimizer of the tables. All but `adam` are sparse: their cost grows with the
    batch, not with the vocabulary. `adam` updates every row at every step, as Keras
    does; it is there to compare with."""

    name: Literal["rowwise_adagrad", "adagrad", "lazy_adam", "ftrl", "sgd", "adam"] = (
        "lazy_adam"
    )
    learning_rate: PositiveFloat = 0.001
    schedule: Schedule = Schedule()
    initial_accumulator: NonNegativeFloat = 1e-8
    """Accumulators (Adagrad, FTRL) start here. Losses are means over the batch, so
    squared gradients of a row are tiny: the customary 0.1 would swamp them."""
    epsilon: PositiveFloat | None = None
    """Stands beside the root, not under it. Unless given, 1e-7 for Adam as in Keras,
    and 1e-10 for Adagrad and FTRL as in PyTorch."""
    clip_norm: PositiveFloat | None = None
    """Clips the common norm of the gradients of all tables: of the rows that the batch
    touches, duplicates summed, before l2."""
    l1: NonNegativeFloat = 0.0
    """Sets weights to exactly 0 that do not earn more than this (ftrl alone)."""
    l2: NonNegativeFloat = 0.0
    """Adds l2 * row to the gradient of the rows that the batch touches."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled: takes learning rate * weight_decay * row off the rows that the batch
    touches."""

    @property
    def epsilon_in_use(self) -> float:
        """`epsilon`, or what stands for it."""
        if self.epsilon is not None:
            return self.epsilon
        adam = self.name in ("lazy_adam", "adam")
        return _KERAS_EPSILON if adam else _PYTORCH_EPSILON

    @model_validator(mode="after")
    def _check_ftrl(self) -> Self:
        if self.l1 and self.name != "ftrl":
            raise ValueError(
                f"l1 has no effect on {self.name}: use ftrl, or leave l1 out"
            )
        if self.weight_decay and self.name == "ftrl":
            raise ValueError(
                "ftrl computes its weights anew from its slots, so weight_decay has no"
                " lasting effect on them: use l2 instead"
            )
        return self


class Optimizers(Section):
    """One optimizer for dense weights, one for embedding tables."""

    dense: DenseOptimizer = DenseOptimizer()
    embeddings: EmbeddingOptimizer = EmbeddingOptimizer()


class EarlyStopping(Section):
    """Stops when a validation metric has not improved for a while."""

    metric: Literal["auc", "log_loss", "gauc"] = "log_loss"
    patience: PositiveInt = 1
    """Evaluations without improvement before training stops."""
    min_delta: NonNegativeFloat = 0.0


class Training(Section):
    """The training loop."""

    batch_size: PositiveInt = 4096
    """Rows of a step over all devices together (the global batch)."""
    epochs: PositiveInt = 1
    max_steps: PositiveInt | None = None
    """Training ends after this many steps, if the epochs do not end it before."""
    seed: NonNegativeInt = 0
    """Of initial weights, the order of rows, and dropout."""
    shuffle_block: NonNegativeInt = 65_536
    """Rows that are shuffled together while training, drawn from several shards (from
    one, with the rows of a context kept side by side, where losses compare inside
    contexts). About four such blocks are held in memory, as serialized examples. 0
    reads each shard in the order in which preprocessing wrote it."""
    optimizer: Optimizers = Optimizers()
    embedding_initial_stddev: NonNegativeFloat = 0.01
    """Standard deviation of freshly initialised embeddings."""
    evaluate_every: PositiveInt | None = None
    """Steps between evaluations on the validation split; after each epoch too."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the matrix multiplications and activations of the backbone in training.
    Weights, tables, slots, logits, losses and metrics are float32 in either case, and
    so is all that is evaluated, exported and served. Pays where the processor
    multiplies bfloat16 natively."""
    jit_compile: bool = False
    """Compiles the dense part of the model by XLA; a batch of another size compiles it
    anew."""
    steps_per_call: PositiveInt = 1
    """Steps made in one call of the compiled function. Checkpoints, evaluations and
    log points stay where they are, and the weights are the same. Pays where a step
    takes a millisecond or two; the function takes so much longer to trace."""
    max_bad_steps: PositiveInt = 10
    """Training ends with an error after so many steps in a row whose loss or gradients
    are not finite. Such steps change nothing."""
    checkpoint_every: PositiveInt = 1_000
    """Steps between checkpoints; after each epoch too."""
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    """Newest checkpoints kept (the best one is kept besides)."""
    early_stopping: EarlyStopping | None = None
    select_by: Literal["auc", "log_loss", "gauc"] = "log_loss"
    """Validation metric of the first task that picks the best checkpoint."""
    strategy: Literal["auto", "single", "mirrored", "multi_worker"] = "auto"
    """`auto` mirrors over the GPUs if there are two or more. `multi_worker` trains in
    one process on each of several machines, which TF_CONFIG names."""
    logical_devices: NonNegativeInt = 0
    """With `mirrored`: split the CPU into this many devices (tests, dry runs)."""
    deterministic: bool = False
    """TensorFlow's op determinism: the same run gives the same bits, more slowly."""
