"""A log of clicks alone: draws impressions from its sample, so that a job can run."""

import shlex
from pathlib import Path

from configs.errors import DataError
from preprocessing.datasets.clicks import (
    ClickColumns,
    ClickLog,
    DrawSettings,
    draw_impressions,
)
from preprocessing.planning.draft import NoLabel
from preprocessing.planning.proposals import propose

__all__ = ["Drawn", "draw_sample"]

_NEGATIVES = 4
_WINDOW = "1h"
"""A longer one makes what is in fashion the strongest signal, and it passes."""

Drawn = tuple[str, str]
"""The folder of the drawn logs, and a remark for the job file."""


def draw_sample(found: NoLabel, target: Path, *, rows: int, overwrite: bool) -> Drawn:
    """Writes impressions and clicks of a sample of clicks.

    Args:
        found: why there is no label.
        target: folder for the drawn logs.
        rows: impressions to draw, at most.
        overwrite: replace `target` if it exists.

    Raises:
        NoLabel: if the log has no user, item or time, so that nothing can be drawn.
        DataError: if no click can become a request.
    """
    ids, columns = found.ids, found.columns
    user, item = ids.others.get("user"), ids.others.get("item")
    if not found.alone or user is None or item is None or ids.time is None:
        raise found
    left = {user, item, ids.event, *(moment.column for moment in ids.moments)}
    context = [
        name
        for name, column in columns.items()
        if name not in left and column.lists is None and propose(column, {}, ()).kept
    ]
    names = ClickColumns(
        user=user,
        item=item,
        time=ids.time.column,
        unit=ids.time.unit,
        context=tuple(context),
    )
    times = columns[ids.time.column].times(ids.time.unit)
    log = ClickLog.of(names, found.sample.table, times, 0)
    last = max(rows // (_NEGATIVES + 1), 1)
    settings = DrawSettings(negatives=_NEGATIVES, window=_WINDOW, last=last)
    try:
        draw_impressions(log, target, settings, overwrite=overwrite)
    except DataError as error:
        raise DataError(f"{found} {error}") from error
    whole = shlex.join(
        [
            *("python", "-m", "preprocessing", "convert", "clicks"),
            *(found.sample.source.pattern, str(target), "--overwrite"),
            *("--user", user, "--item", item, "--time", names.time),
            *("--unit", names.unit, "--context", ",".join(context)),
            *("--window", _WINDOW),
        ]
    )
    return str(target), (
        f"{found.sample.source.pattern} has clicks and nothing that was not clicked, so"
        f" {_NEGATIVES} items were drawn beside each of its last sampled clicks, from"
        f" the clicks of others in the hour before, and written to {target}. For the"
        f" whole log: `{whole}`. Do any of {', '.join(context)} tell of what came after"
        " the click? Can impressions be logged?"
    )
