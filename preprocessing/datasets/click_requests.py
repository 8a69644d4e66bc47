"""Requests made of clicks: the clicked item among items that were not clicked."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["click_table", "lists_of", "shuffled"]

Integers = npt.NDArray[np.int64]


def shuffled(
    rng: np.random.Generator, positives: Integers, negatives: Integers
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Puts each positive at a random place among its negatives, so that ids and order
    tell nothing. Returns items and whether clicked, both [n, 1 + negatives]."""
    shown = np.concatenate([positives[:, None], negatives], axis=1)
    place = rng.integers(0, shown.shape[1], len(shown))
    number = np.arange(len(shown))
    shown[number, 0] = shown[number, place]
    shown[number, place] = positives
    is_click = np.zeros(shown.shape, np.bool_)
    is_click[number, place] = True
    return shown, is_click


def lists_of(
    offsets: npt.NDArray[np.int32], values: npt.NDArray[np.generic], request: Integers
) -> pa.Array:
    """Returns the list of each request for each of its rows."""
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
    return lists.take(pa.array(request))


def click_table(table: pa.Table) -> pa.Table:
    """Returns the click log of impressions with the column `is_click`."""
    clicked = table.filter(pc.field("is_click"))
    return pa.table(
        {
            "click_id": clicked["request_id"],
            "impression_id": clicked["impression_id"],
            "timestamp_ms": clicked["timestamp_ms"],
        }
    )
