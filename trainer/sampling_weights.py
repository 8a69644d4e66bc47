"""What a row of a down-sampled set stands for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.job import Job

__all__ = ["sampling_weights"]


def sampling_weights(
    labels: NDArray[np.float32], keep_rates: NDArray[Any], job: Job
) -> NDArray[np.float64]:
    """Returns the weight of each row: 1 if its sampled label is 1, else 1/r.

    Args:
        labels: [B, labels], 0 or 1.
        keep_rates: r of each row, [B].
        job: names the sampled label.
    """
    rates = keep_rates.astype(np.float64)
    positive = labels[:, list(job.labels).index(job.sampled_label)] > 0.5
    return np.where(positive, 1.0, 1.0 / rates)
