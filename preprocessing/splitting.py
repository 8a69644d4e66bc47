"""Which split a row belongs to, and at which rate its slice's negatives are kept."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.features import CategoricalFeature
from configs.job import Job
from preprocessing.fields import raw_field
from preprocessing.hashing import salted, unit_interval

__all__ = ["NO_SPLIT", "SPLITS", "assign_splits", "keep_rates", "survives_sampling"]

SPLITS = ("train", "validation", "test")
"""Names of the splits; a row's split is the position of its name."""

NO_SPLIT = -1
"""Of a row that lies outside every interval of a split by time."""


def assign_splits(
    job: Job, times: npt.NDArray[np.int64], ids: dict[str, npt.NDArray[np.int64]]
) -> npt.NDArray[np.int8]:
    """Returns the split of each row, or `NO_SPLIT`.

    Args:
        job: names the rule.
        times: of the rows, in milliseconds.
        ids: fingerprints of the rows' ids, by name (event, user, request).
    """
    split = job.preprocessing.split
    assigned = np.full(len(times), NO_SPLIT, np.int8)
    if split.by == "time":
        for name, interval in split.intervals().items():
            start, until = interval.bounds
            assigned[(times >= start) & (times < until)] = SPLITS.index(name)
        return assigned
    share = unit_interval(salted(ids[split.key], "split", split.seed))
    assigned[:] = SPLITS.index("train")
    assigned[share < split.test + split.validation] = SPLITS.index("validation")
    assigned[share < split.test] = SPLITS.index("test")
    return assigned


def keep_rates(
    job: Job, table: pa.Table, splits: npt.NDArray[np.int8]
) -> npt.NDArray[np.float32]:
    """Returns the keep rate of the negatives of each row's slice: 1 outside of the
    training split.

    Args:
        job: names the rates.
        table: the fields of the rows.
        splits: of the rows.
    """
    sampling = job.preprocessing.sampling
    rates = np.full(table.num_rows, sampling.negative_keep_rate, np.float32)
    if sampling.slices is not None:
        feature = job.features[sampling.slices.feature]
        if not isinstance(feature, CategoricalFeature):
            raise TypeError(f"{sampling.slices.feature} is not categorical")
        column = table[raw_field(feature.raw_name(sampling.slices.feature))]
        for value, rate in sampling.slices.rates.items():
            rates[pc.equal(column, value).to_numpy()] = rate
    rates[splits != SPLITS.index("train")] = 1.0
    return rates


def survives_sampling(
    job: Job,
    events: npt.NDArray[np.int64],
    rates: npt.NDArray[np.float32],
    positive: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Returns which rows are kept: all positives, and negatives by their hash.

    Args:
        job: names the seed.
        events: fingerprints of the rows' event ids.
        rates: keep rates of the rows.
        positive: whether the sampled label is 1.
    """
    share = unit_interval(salted(events, "sampling", job.preprocessing.sampling.seed))
    return positive | (share < rates.astype(np.float64))
