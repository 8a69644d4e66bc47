"""Turns what was drawn into tables of named columns, and soils them like real logs."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.durations import DAY_MS
from preprocessing.datasets import synthetic_world
from preprocessing.datasets.histories import HistorySlices
from preprocessing.datasets.synthesis_settings import SynthesisSettings
from preprocessing.datasets.synthetic_events import Events
from preprocessing.datasets.synthetic_world import Shown, World

__all__ = [
    "Names",
    "click_table",
    "conversion_table",
    "impression_table",
    "soiled",
]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_HOUR_MS = 3_600_000
_LATEST_MS = 60_000
"""A disorderly row is logged at most this much late."""


class Names:
    """The values that a world's users and items have in the logs, by index."""

    def __init__(self, world: World) -> None:
        self.world = world
        users, items = world.settings.users, world.settings.items
        self.user = _numbered("u", np.arange(users))
        self.item = _numbered("i", np.arange(items))
        self.category = _numbered("c", world.category)
        self.age_bucket = _chosen(synthetic_world.AGE_BUCKETS, world.age_bucket)
        self.country = _chosen(synthetic_world.COUNTRIES, world.country)
        self.price = pa.array(world.price, from_pandas=True)
        offsets = np.concatenate([[0], np.cumsum(world.tag_counts)]).astype(np.int32)
        tags = _numbered("t", world.tags)
        self.tags = pa.ListArray.from_arrays(pa.array(offsets), tags)


def impression_table(
    names: Names,
    shown: Shown,
    first: int,
    first_request: int,
    truths: tuple[Floats, Floats],
    history: HistorySlices | None,
) -> pa.Table:
    """Returns the rows of the impression log.

    Args:
        names: of the world.
        shown: the impressions.
        first: number of the first of them in the whole log.
        first_request: likewise of requests.
        truths: probabilities of click, and of conversion given click.
        history: clicks before each impression, or None.
    """
    user, item = pa.array(shown.user), pa.array(shown.item)
    age_ms = shown.time - names.world.launch[shown.item]
    columns = {
        "impression_id": _numbered("imp", first + np.arange(len(shown.time))),
        "request_id": _numbered("req", first_request + shown.request),
        "timestamp_ms": pa.array(shown.time),
        "user_id": names.user.take(user),
        "age_bucket": names.age_bucket.take(user),
        "country": names.country.take(user),
        "item_id": names.item.take(item),
        "category": names.category.take(item),
        "price": names.price.take(item),
        "item_age_days": pa.array(np.round(age_ms / DAY_MS, 3)),
        "tags": names.tags.take(item),
        "device": _chosen(synthetic_world.DEVICES, shown.device),
        "surface": _chosen(synthetic_world.SURFACES, shown.surface),
        "hour": pa.array(shown.time % DAY_MS // _HOUR_MS),
        "position": pa.array(shown.position),
    }
    if history is not None:
        columns |= _history_columns(names, shown, history)
    columns |= {
        "click_truth": pa.array(truths[0]),
        "conversion_truth": pa.array(truths[1]),
    }
    return pa.table(columns)


def click_table(clicks: Events, first: int) -> pa.Table:
    """Returns the rows of the click log; `first` as in `impression_table`."""
    numbers = first + clicks.rows
    return pa.table(
        {
            "click_id": _numbered("clk", numbers),
            "impression_id": _numbered("imp", numbers),
            "timestamp_ms": pa.array(clicks.times),
        }
    )


def conversion_table(conversions: Events, first: int) -> pa.Table:
    """Returns the rows of the conversion log, which names click and impression."""
    numbers = first + conversions.rows
    return pa.table(
        {
            "conversion_id": _numbered("cnv", numbers),
            "click_id": _numbered("clk", numbers),
            "impression_id": _numbered("imp", numbers),
            "timestamp_ms": pa.array(conversions.times),
        }
    )


def soiled(
    table: pa.Table, rng: np.random.Generator, settings: SynthesisSettings
) -> pa.Table:
    """Returns a chunk of a log as it would be logged.

    Rows at or after the log's end are cut off, some rows come twice (events of the
    second copy a little later, impressions unchanged), some name an unknown
    impression, and the order is that of logging, which for some rows is late.
    """
    time = table["timestamp_ms"].to_numpy()
    kept = np.flatnonzero(time < settings.end_ms)
    twice = kept[rng.random(len(kept)) < settings.duplicate_share]
    order = np.concatenate([kept, twice])
    logged = time[order]
    is_event = table.column_names[0] != "impression_id"
    if is_event:
        logged[len(kept) :] += rng.integers(1, 5_000, len(twice))
        logged = np.minimum(logged, settings.end_ms - 1)
    table = table.take(pa.array(order))
    place = table.column_names.index("timestamp_ms")
    table = table.set_column(place, "timestamp_ms", pa.array(logged))
    if is_event:
        table = _with_orphans(table, rng, settings.orphan_share)
        logged = table["timestamp_ms"].to_numpy()
    late = rng.random(len(logged)) < settings.disorder_share
    delay = np.where(late, rng.integers(0, _LATEST_MS, len(logged)), 0)
    return table.take(pa.array(np.argsort(logged + delay, kind="stable")))


def _with_orphans(table: pa.Table, rng: np.random.Generator, share: float) -> pa.Table:
    """Appends copies of some rows under ids that nothing else has."""
    chosen = np.flatnonzero(rng.random(table.num_rows) < share)
    orphans = table.take(pa.array(chosen))
    for place, name in enumerate(table.column_names):
        if name.endswith("_id"):
            renamed = pc.binary_join_element_wise("lost", orphans[name], "-")
            orphans = orphans.set_column(place, name, renamed)
    return pa.concat_tables([table, orphans])


def _history_columns(
    names: Names, shown: Shown, history: HistorySlices
) -> dict[str, pa.Array]:
    offsets, items = pa.array(history.offsets), pa.array(history.items)
    lengths = np.diff(history.offsets)
    hours = (np.repeat(shown.time, lengths) - history.times) / _HOUR_MS
    values = {
        "history_item": names.item.take(items),
        "history_category": names.category.take(items),
        "history_age_hours": pa.array(np.round(hours, 3)),
    }
    return {
        name: pa.ListArray.from_arrays(offsets, value) for name, value in values.items()
    }


def _numbered(prefix: str, numbers: Integers) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def _chosen(values: list[str], indices: Integers) -> pa.Array:
    return pa.array(values).take(pa.array(indices))
