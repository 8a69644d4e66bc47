"""Devices and determinism: what must be settled before TensorFlow starts."""

import functools
import sys

import keras
import tensorflow as tf

from configs.errors import JobError, TrainingError
from configs.training import Training
from trainer.allocator import keep_freed_memory
from trainer.cluster import ALONE, Cluster

__all__ = ["prepare_devices"]


def prepare_devices(
    training: Training, cluster: Cluster = ALONE
) -> tf.distribute.Strategy:
    """Seeds, configures devices, and returns the strategy. Call it before any tensor
    is made. With several workers it waits for all of them.

    Args:
        training: the section of the job.
        cluster: the workers, if the strategy is `multi_worker`.

    Raises:
        JobError: if the job asks for devices that are not there, or it comes too late.
    """
    keep_freed_memory()
    keras.utils.set_random_seed(training.seed)
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        _grow_memory(gpu)
    if training.strategy == "multi_worker":
        return _connected(cluster)
    if training.strategy == "mirrored" and training.logical_devices:
        return _mirrored_on_cpu(training.logical_devices)
    if training.strategy == "mirrored" and not gpus:
        raise JobError(
            "training.strategy is 'mirrored', and there is no GPU here: use 'auto', or"
            " try it on the CPU with training.logical_devices=2"
        )
    if training.strategy == "mirrored" or (
        training.strategy == "auto" and len(gpus) > 1
    ):
        return _mirrored(tuple(f"GPU:{k}" for k in range(len(gpus))))
    return tf.distribute.get_strategy()


@functools.cache
def _connected(cluster: Cluster) -> tf.distribute.Strategy:
    """Waits for the workers; once in a process, for the reason of `_mirrored`."""
    own = cluster.addresses[cluster.index]
    print(
        f"worker {cluster.index} of {cluster.workers} at {own}: waiting for the others",
        file=sys.stderr,
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise JobError(
            "training.strategy 'multi_worker' must be settled before TensorFlow starts:"
            f" train in a process of its own ({error})"
        ) from error
    except tf.errors.OpError as error:
        raise TrainingError(
            f"the {cluster.workers} workers {list(cluster.addresses)} did not come"
            f" together: {error.message}. Each must be started, with the same TF_CONFIG"
            " but for its index, and reach the others at those addresses"
        ) from error
    return strategy


def _grow_memory(gpu: tf.config.PhysicalDevice) -> None:
    try:
        # Otherwise TensorFlow takes the whole device, and nobody else can use it.
        tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        return  # TensorFlow runs already, with the memory that it has


def _mirrored_on_cpu(count: int) -> tf.distribute.Strategy:
    cpu = tf.config.list_physical_devices("CPU")[0]
    wanted = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(cpu, wanted)
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise JobError(
                f"training.logical_devices={count} must be settled before TensorFlow"
                " starts: train in a process of its own"
            ) from error
    return _mirrored(tuple(f"CPU:{k}" for k in range(count)))


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One strategy for all trainings of a process.

    A strategy numbers its exchanges from 100 on, and TensorFlow remembers under its
    number the shape of what was exchanged. A second strategy would use the numbers
    again, and fail at the first shape that is another.
    """
    return tf.distribute.MirroredStrategy(devices)
