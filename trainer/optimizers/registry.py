"""From the job file's names to optimizers."""

from collections.abc import Callable

from configs.training import EmbeddingOptimizer
from trainer.optimizers.adagrad import Adagrad
from trainer.optimizers.lazy_adam import LazyAdam
from trainer.optimizers.rowwise_adagrad import RowwiseAdagrad
from trainer.optimizers.sgd import SGD
from trainer.optimizers.sparse import SparseOptimizer

__all__ = ["sparse_optimizer"]

_MAKERS: dict[str, Callable[[EmbeddingOptimizer], SparseOptimizer]] = {
    "rowwise_adagrad": lambda options: RowwiseAdagrad(
        learning_rate=options.learning_rate,
        initial_accumulator=options.initial_accumulator,
        epsilon=options.epsilon,
        l2=options.l2,
    ),
    "adagrad": lambda options: Adagrad(
        learning_rate=options.learning_rate,
        initial_accumulator=options.initial_accumulator,
        epsilon=options.epsilon,
        l2=options.l2,
    ),
    "lazy_adam": lambda options: LazyAdam(
        learning_rate=options.learning_rate, epsilon=options.epsilon, l2=options.l2
    ),
    "sgd": lambda options: SGD(learning_rate=options.learning_rate, l2=options.l2),
}


def sparse_optimizer(options: EmbeddingOptimizer) -> SparseOptimizer:
    """Returns the optimizer of the embedding tables; `build` it before use."""
    return _MAKERS[options.name](options)
