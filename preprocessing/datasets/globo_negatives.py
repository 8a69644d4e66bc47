"""Samples articles that were shown in vain: the negatives of the Globo conversion."""

import numpy as np
import numpy.typing as npt

from preprocessing.datasets.globo_clicks import ArticleTimes, Clicks

__all__ = ["sample_negatives", "usable_clicks"]

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

_ROUNDS = 12
"""Draws for each place; a place that is then still empty stays empty."""


def usable_clicks(
    clicks: Clicks, articles: ArticleTimes, rows: Integers, window: int
) -> dict[str, Booleans]:
    """Sorts out the clicks that cannot be told from negatives by chance alone.

    A negative was clicked by somebody in the `window` ms before, and never by this
    user. A positive for which that does not hold would give itself away, so only clicks
    for which it does become impressions.

    Args:
        clicks: all clicks.
        articles: of these clicks.
        rows: int64 [n], the clicks to judge.
        window: ms.

    Returns:
        Masks [n]: `usable`, and for each reason not to be; a click that could be
        dropped for several reasons is in the first of these only.
    """
    user, article, time = clicks.user[rows], clicks.article[rows], clicks.time[rows]
    unseen = articles.first_click(article) >= time
    stale = articles.clicks_between(article, time - window, time) == 0
    repeated = articles.first_click_of(user, article) < time
    # Of two equal clicks at one time the first is used.
    key = np.stack([time, user, article])
    order = np.lexsort(key[::-1])
    equal = (key[:, order[1:]] == key[:, order[:-1]]).all(axis=0)
    duplicate = np.zeros(len(rows), np.bool_)
    duplicate[order[1:][equal]] = True
    reasons = {
        "article_never_seen": unseen,
        "article_not_seen_lately": stale,
        "repeated_by_user": repeated,
        "duplicate": duplicate,
    }
    left = np.ones(len(rows), np.bool_)
    masks = {}
    for name, mask in reasons.items():
        masks[name] = left & mask
        left &= ~mask
    return {"usable": left, **masks}


def sample_negatives(
    rng: np.random.Generator,
    clicks: Clicks,
    articles: ArticleTimes,
    rows: Integers,
    *,
    count: int,
    window: int,
) -> Integers:
    """Draws `count` distinct articles for each click, in proportion to recent clicks.

    A candidate is the article of a click drawn uniformly from those in
    [time - window, time), by anybody. Taken are candidates that the user has not
    clicked up to and at that time, that are not the clicked article, and that were not
    taken before.

    Args:
        rng: of the draws.
        clicks: all clicks.
        articles: of these clicks.
        rows: int64 [n], the clicks that need negatives.
        count: of negatives for each.
        window: ms.

    Returns:
        Indices of articles, int64 [n, count]; -1 where none was found in 12 draws.
    """
    time = clicks.time[rows]
    low = np.searchsorted(clicks.time, time - window)
    high = np.searchsorted(clicks.time, time)
    taken = np.full((len(rows), count), -1, np.int64)
    open_rows = np.flatnonzero(high > low)
    for _ in range(_ROUNDS * count):
        if not len(open_rows):
            break
        drawn = low[open_rows] + (
            rng.random(len(open_rows)) * (high - low)[open_rows]
        ).astype(np.int64)
        candidate = clicks.article[drawn]
        known = articles.known_to(
            clicks.user[rows[open_rows]], candidate, time[open_rows]
        )
        again = (taken[open_rows] == candidate[:, None]).any(axis=1)
        good = ~known & ~again
        filled, place = open_rows[good], (taken[open_rows[good]] >= 0).sum(axis=1)
        taken[filled, place] = candidate[good]
        open_rows = open_rows[(taken[open_rows] < 0).any(axis=1)]
    return taken
