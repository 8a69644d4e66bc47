"""How a model is trained: batches, optimizers, devices, checkpoints."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from configs.section import Section

__all__ = [
    "DenseOptimizer",
    "EarlyStopping",
    "EmbeddingOptimizer",
    "Optimizers",
    "Training",
]


class DenseOptimizer(Section):
    """A Keras optimizer for everything but the embedding tables."""

    name: Literal["adam", "adamw", "adagrad", "sgd"] = "adam"
    learning_rate: PositiveFloat = 0.001
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled, of kernels only (adamw)."""
    clip_norm: PositiveFloat | None = None
    """Clips the global norm of the dense gradients."""


class EmbeddingOptimizer(Section):
    """A sparse optimizer: its cost grows with the batch, not with the vocabulary."""

    name: Literal["rowwise_adagrad", "adagrad", "lazy_adam", "sgd"] = "lazy_adam"
    learning_rate: PositiveFloat = 0.001
    initial_accumulator: NonNegativeFloat = 1e-8
    """Adagrad's accumulators start here. Losses are means over the batch, so squared
    gradients of a row are tiny: the customary 0.1 would swamp them."""
    epsilon: PositiveFloat = 1e-7
    l2: NonNegativeFloat = 0.0
    """Adds l2 * row to the gradient of the rows that the batch touches."""


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
    """Of initial weights, shard order and dropout."""
    optimizer: Optimizers = Optimizers()
    embedding_initial_stddev: NonNegativeFloat = 0.01
    """Standard deviation of freshly initialised embeddings."""
    evaluate_every: PositiveInt | None = None
    """Steps between evaluations on the validation split; after each epoch too."""
    checkpoint_every: PositiveInt = 1_000
    """Steps between checkpoints; after each epoch too."""
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    """Newest checkpoints kept (the best one is kept besides)."""
    early_stopping: EarlyStopping | None = None
    select_by: Literal["auc", "log_loss", "gauc"] = "log_loss"
    """Validation metric of the first task that picks the best checkpoint."""
    strategy: Literal["auto", "single", "mirrored"] = "auto"
    """`auto` mirrors over the GPUs if there are two or more."""
    logical_devices: NonNegativeInt = 0
    """With `mirrored`: split the CPU into this many devices (tests, dry runs)."""
    deterministic: bool = False
    """TensorFlow's op determinism: the same run gives the same bits, more slowly."""
