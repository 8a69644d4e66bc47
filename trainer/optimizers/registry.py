"""From the job file's names to optimizers."""

from configs.training import EmbeddingOptimizer
from trainer.optimizers.adagrad import Adagrad
from trainer.optimizers.adam import Adam
from trainer.optimizers.ftrl import Ftrl
from trainer.optimizers.lazy_adam import LazyAdam
from trainer.optimizers.rowwise_adagrad import RowwiseAdagrad
from trainer.optimizers.sgd import SGD
from trainer.optimizers.sparse import SparseOptimizer

__all__ = ["sparse_optimizer"]

_CLASSES: dict[str, type[SparseOptimizer]] = {
    "rowwise_adagrad": RowwiseAdagrad,
    "adagrad": Adagrad,
    "lazy_adam": LazyAdam,
    "ftrl": Ftrl,
    "sgd": SGD,
    "adam": Adam,
}


def sparse_optimizer(options: EmbeddingOptimizer) -> SparseOptimizer:
    """Returns the optimizer of the embedding tables; `build` it before use."""
    return _CLASSES[options.name](options)
