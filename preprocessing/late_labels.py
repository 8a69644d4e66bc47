"""The rows of impressions whose labels come late, between the join and the writing.

Down-sampling decides on rows, each by what it says of the sampled label: positives
stay, and negatives by the hash of the impression, at the rate of its slice. So the
first row and the real negative of an impression share one fate, while a late positive
is kept, even if its first row was not. Among the rows that are kept each negative
stands for 1/r of its kind, and each positive for itself.
"""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.layout import ELAPSED, EVENT_KIND, LABEL_KINDS, EventKind
from preprocessing.day import SEEN, TOLD, state_of, with_state
from preprocessing.fields import IMPRESSIONS
from preprocessing.observations import Observations
from preprocessing.plan import Plan, column_array
from preprocessing.splitting import NO_SPLIT, SPLITS, survives_sampling

__all__ = ["LATE_COLUMNS", "leaving", "with_told"]

LATE_COLUMNS = (EVENT_KIND, LABEL_KINDS, ELAPSED)
"""Columns of the rows that leave, beside their labels."""

_COUNTED = {
    EventKind.FIRST: "first",
    EventKind.LATE_POSITIVE: "late_positive",
    EventKind.REAL_NEGATIVE: "real_negative",
}
"""Names of counters, as `streams.rows.first`."""


def leaving(
    plan: Plan, rows: pa.Table, observed: Observations, counters: Counter[str]
) -> pa.Table:
    """Returns the rows that are kept, with `labels` and `LATE_COLUMNS`.

    Impressions are counted with their first rows, each under one name.

    Args:
        plan: of the run.
        rows: narrow impressions.
        observed: which leave, and what they say.
        counters: are added to.
    """
    table = rows.take(pa.array(observed.rows)).combine_chunks()
    columns = {
        "labels": _lists(observed.labels),
        EVENT_KIND: pa.array(observed.kinds.astype(np.int64)),
        LABEL_KINDS: _lists(observed.label_kinds.astype(np.int64)),
        ELAPSED: pa.array(observed.elapsed),
    }
    for name, values in columns.items():
        table = table.append_column(name, values)
    splits = column_array(table, "split").to_numpy()
    inside = splits != NO_SPLIT
    if not _real_negatives(plan):
        inside &= observed.kinds != EventKind.REAL_NEGATIVE
    sampled = list(plan.job.labels).index(plan.job.sampled_label)
    surviving = survives_sampling(
        plan.job,
        column_array(table, "fingerprint").to_numpy(),
        column_array(table, "rate").to_numpy(),
        observed.labels[:, sampled] == 1,
    )
    surviving |= splits != SPLITS.index("train")
    kept = inside & surviving
    first = observed.kinds == EventKind.FIRST
    for name, chosen in (
        ("outside_split", first & (splits == NO_SPLIT)),
        ("dropped_by_sampling", first & inside & ~surviving),
        ("kept", first & kept),
    ):
        counters[f"{IMPRESSIONS}.{name}"] += int(chosen.sum())
    for kind, name in _COUNTED.items():
        of_kind = observed.kinds[kept] == kind
        counters[f"streams.rows.{name}"] += int(of_kind.sum())
    return table.filter(pa.array(kept)).combine_chunks()


def with_told(rows: pa.Table, observed: Observations) -> pa.Table:
    """Returns narrow impressions that know what their rows have said."""
    seen = np.where(observed.seen, np.int8(SEEN), np.int8(0))
    rows = with_state(rows, (state_of(rows) | seen).astype(np.int8))
    bits = observed.told.astype(np.int64) << np.arange(observed.told.shape[1])
    said = column_array(rows, TOLD).to_numpy() | bits.sum(axis=1)
    return rows.set_column(rows.schema.get_field_index(TOLD), TOLD, pa.array(said))


def _real_negatives(plan: Plan) -> bool:
    stream = plan.job.stream
    return stream is None or stream.join is None or stream.join.real_negatives


def _lists(values: npt.NDArray[Any]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1]
    )
