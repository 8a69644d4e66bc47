"""What the users of Taobao's display ads did before an impression."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from preprocessing.datasets.conversion import Conversion
from preprocessing.datasets.delimited import line_error, read_batches
from preprocessing.datasets.histories import Histories
from preprocessing.datasets.history_lists import list_column
from preprocessing.datasets.taobao_ad_layouts import BEHAVIORS
from preprocessing.datasets.user_buckets import UserBuckets

__all__ = ["BEHAVIOR_RECORD", "BucketHistories", "set_behaviors_aside"]

BEHAVIOR_RECORD = {
    "user": "i4",
    "time": "i4",
    "type": "i1",
    "category": "i4",
    "brand": "i4",
}
"""A brand of -1 is missing."""

_TYPES = ("pv", "ipv", "cart", "fav", "buy")
"""The data set's page calls page views `ipv`; the file has `pv`."""

_FROM = 1_492_790_400
"""Midnight in China at the beginning of 2017-04-22, in seconds."""
_UNTIL = _FROM + 22 * 86_400

Records = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]


def set_behaviors_aside(
    path: Path, users: Integers, buckets: UserBuckets, conversion: Conversion
) -> None:
    """Puts the behaviours of the users that are asked for into buckets.

    Behaviours outside the 22 days of the log are dropped.

    Args:
        path: behavior_log.csv, plain or gzip.
        users: those who have impressions, sorted.
        buckets: of BEHAVIOR_RECORD.
        conversion: counts what is read and dropped.

    Raises:
        DataError: if the file cannot be read, or a line is not of the layout.
    """
    known = pa.array(_TYPES)
    for line, batch in read_batches(path, BEHAVIORS):
        types = pc.index_in(batch["btag"], value_set=known)
        if types.null_count:
            place = pc.index(types.is_null(), True).as_py()
            raise line_error(
                path,
                line + place,
                f"the btag is {batch['btag'][place].as_py()!r}, expected one of"
                f" {', '.join(_TYPES)}",
            )
        time, user = batch["time_stamp"].to_numpy(), batch["user"].to_numpy()
        inside = (time >= _FROM) & (time < _UNTIL)
        conversion.drop("behaviors_outside_the_22_days", int((~inside).sum()))
        inside &= (
            users[np.minimum(np.searchsorted(users, user), len(users) - 1)] == user
        )
        buckets.add(
            user=user[inside],
            time=time[inside],
            type=types.to_numpy()[inside],
            category=batch["cate"].to_numpy()[inside],
            brand=pc.fill_null(batch["brand"], -1).to_numpy()[inside],
        )
        conversion.advance(batch.num_rows, path.name)


class BucketHistories:
    """The behaviours of a bucket of users, looked up for many impressions at once.

    Args:
        behaviors: the bucket's records.
        length: most recent behaviours that an impression gets.
    """

    def __init__(self, behaviors: Records, length: int) -> None:
        self._behaviors = behaviors
        self._users, number = np.unique(behaviors["user"], return_inverse=True)
        self._histories = Histories(first_time=_FROM * 1_000, max_length=length)
        times_ms = behaviors["time"].astype(np.int64) * 1_000
        self._histories.add(number, times_ms, np.arange(len(behaviors)))

    def columns(self, users: Integers, times_ms: Integers) -> dict[str, pa.Array]:
        """Returns the columns `history_*` of impressions, behaviours oldest first.

        Args:
            users: [n].
            times_ms: [n]; behaviours are strictly before.
        """
        number = np.searchsorted(self._users, users)
        known = number < len(self._users)
        known[known] = self._users[number[known]] == users[known]
        # A number that nobody has finds no behaviours.
        number = np.where(known, number, len(self._users))
        # Nothing lies before the log, and times there would borrow from the users.
        asked = np.maximum(times_ms, _FROM * 1_000)
        before = self._histories.before(number, asked)
        earlier = self._behaviors[before.items]
        lengths = np.diff(before.offsets)
        hours = (np.repeat(times_ms, lengths) - before.times) / 3_600_000
        brand = earlier["brand"].astype(np.int64)
        return {
            "history_category": list_column(
                before.offsets, earlier["category"].astype(np.int64)
            ),
            "history_brand": list_column(
                before.offsets, pa.array(brand, mask=brand < 0)
            ),
            "history_type": list_column(
                before.offsets, pa.array(_TYPES).take(pa.array(earlier["type"]))
            ),
            "history_hours": list_column(
                before.offsets, np.round(hours, 3).astype(np.float32)
            ),
        }
