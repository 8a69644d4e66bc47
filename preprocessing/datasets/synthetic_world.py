"""The hidden truth of a synthetic log: users, items, and what users like."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from configs.durations import DAY_MS
from preprocessing.datasets.synthesis_settings import SynthesisSettings

__all__ = ["Shown", "World", "draw_shown"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

AGE_BUCKETS = ["18-24", "25-34", "35-44", "45-54", "55-64", "65+"]
COUNTRIES = ["DE", "FR", "GB", "ES", "IT", "NL", "PL", "SE", "US", "BR"]
DEVICES = ["phone", "desktop", "tablet"]
SURFACES = ["home", "search", "article", "detail"]
NUM_CATEGORIES = 16
NUM_TAGS = 200

_DIM = 4
"""Length of the hidden taste vectors."""
_CALIBRATION_ROWS = 500_000
_DEVICE_LOGIT = np.array([0.25, -0.2, 0.0])
_SURFACE_LOGIT = np.array([-0.3, 0.5, 0.0, 0.2])
_POSITION_LOGIT = -0.12
_USER_EXPONENT, _ITEM_EXPONENT = 0.8, 1.0


@dataclass(frozen=True)
class Shown:
    """Impressions before anything happened to them: aligned arrays of one length.

    Attributes:
        request: int64, number of the request, from 0.
        position: int64, place in the request, from 0.
        time: int64, ms since the epoch, not decreasing.
        user: int64, index of the user.
        item: int64, index of the item.
        device: int64, index into DEVICES.
        surface: int64, index into SURFACES.
    """

    request: Integers
    position: Integers
    time: Integers
    user: Integers
    item: Integers
    device: Integers
    surface: Integers


class World:
    """Users, items, and the true probabilities.

    The click logit is the sum of an intercept, the user's taste for the item (a dot
    product of hidden vectors; an item's is near its category's), the item's quality,
    price and age, the user's activity, and effects of device, surface, position,
    hour, and country with category. A user's earlier clicks were chosen by the same
    taste, so a model can read the taste from the history.

    At `settings.taste_change` a second period begins: each user's taste, that of the
    age groups, and the countries' for categories are drawn anew, by the same laws.
    Items stay what they are, and the mean rates are those asked for in both periods.
    """

    def __init__(self, settings: SynthesisSettings) -> None:
        self.settings = settings
        rng = np.random.default_rng([settings.seed, 0])
        self._draw_items(rng)
        self._draw_users(rng)
        # The first axis of what follows is the period.
        self._country_category = _draw_country_tastes(rng)[None]
        self._category_drift = rng.normal(0, 1.0, NUM_CATEGORIES)
        self._change = settings.taste_change_ms
        if self._change is not None:
            self._change_tastes(np.random.default_rng([settings.seed, 4]))
        self._click_intercept = np.zeros(len(self._tastes))
        self._conversion_intercept = np.zeros(len(self._tastes))
        self._calibrate(np.random.default_rng([settings.seed, 1]))

    def click_probability(self, shown: Shown) -> Floats:
        """Returns P(click label = 1) of each impression, [n]."""
        intercept = self._click_intercept[self._period(shown.time)]
        return _sigmoid(self._click_logit(shown) + intercept)

    def conversion_probability(self, shown: Shown) -> Floats:
        """Returns P(conversion label = 1 | click label = 1), [n]."""
        intercept = self._conversion_intercept[self._period(shown.time)]
        return _sigmoid(self._conversion_logit(shown) + intercept)

    def draw_users(self, rng: np.random.Generator, size: int) -> Integers:
        """Draws users in proportion to their activity, [size]."""
        return _draw(self._user_cumulative, rng, size)

    def draw_items(self, rng: np.random.Generator, times: Integers) -> Integers:
        """Draws items by popularity, each launched before its time, [n]."""
        items = _draw(self._item_cumulative, rng, len(times))
        for _ in range(4):
            late = np.flatnonzero(self.launch[items] > times)
            items[late] = _draw(self._item_cumulative, rng, len(late))
        late = np.flatnonzero(self.launch[items] > times)
        items[late] = self._oldest_item
        return items

    def draw_liked_items(self, rng: np.random.Generator, users: Integers) -> Integers:
        """Draws an item for each user as the user's own choice, before the log, [n].

        The choice is by softmax of taste and quality among some popular items.
        """
        start = np.full(len(users), self.settings.start_ms)
        chosen, best = np.zeros(len(users), np.int64), np.full(len(users), -np.inf)
        for _ in range(6):
            items = self.draw_items(rng, start)
            score = self._appeal(users, items, start) + rng.gumbel(size=len(users))
            chosen = np.where(score > best, items, chosen)
            best = np.maximum(score, best)
        return chosen

    def _draw_items(self, rng: np.random.Generator) -> None:
        settings, count = self.settings, self.settings.items
        centers = rng.normal(0, 1, (NUM_CATEGORIES, _DIM))
        self.category = rng.integers(0, NUM_CATEGORIES, count)
        own = rng.normal(0, 0.4, (count, _DIM))
        self._item_vectors = ((centers[self.category] + own) / _DIM**0.5).astype("f4")
        self._quality = rng.normal(0, 0.5, count)
        # A heavy tail: one price in a hundred is over ten times the median.
        self.price = np.round(np.exp(rng.normal(3.0, 1.0, count)), 2)
        self.price[rng.random(count) < 0.05] = np.nan
        age = rng.exponential(60.0, count) * DAY_MS
        born_within = rng.random(count) < 0.1
        born_within[0] = False
        days = (settings.end_ms - settings.start_ms) / DAY_MS
        age[born_within] = -rng.random(born_within.sum()) * days * DAY_MS
        self.launch = (settings.start_ms - age).astype(np.int64)
        self._oldest_item = int(np.argmin(self.launch))
        self._item_cumulative = _zipf(count, _ITEM_EXPONENT, rng)
        self.tag_counts = rng.integers(0, 5, count)
        self.tags = _draw_tags(rng, self.category, self.tag_counts)

    def _draw_users(self, rng: np.random.Generator) -> None:
        count = self.settings.users
        self.age_bucket = rng.choice(len(AGE_BUCKETS), count)
        self.country = rng.choice(
            len(COUNTRIES), count, p=_normalize(0.7 ** np.arange(len(COUNTRIES)))
        )
        self._tastes = self._draw_tastes(rng)[None]
        self._activity = rng.normal(0, 0.3, count)
        self._user_cumulative = _zipf(count, _USER_EXPONENT, rng)

    def _draw_tastes(self, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """Part of a taste is that of the age group, so that the profile tells some."""
        group = rng.normal(0, 0.5, (len(AGE_BUCKETS), _DIM))
        own = rng.normal(0, 1.0, (len(self.age_bucket), _DIM))
        tastes: npt.NDArray[np.float32] = (group[self.age_bucket] + own).astype("f4")
        return tastes

    def _change_tastes(self, rng: np.random.Generator) -> None:
        tastes, of_countries = self._draw_tastes(rng), _draw_country_tastes(rng)
        self._tastes = np.concatenate([self._tastes, tastes[None]])
        self._country_category = np.concatenate(
            [self._country_category, of_countries[None]]
        )

    def _period(self, times: Integers) -> Integers:
        """Returns 0 before the change of tastes and 1 from it on, [n]."""
        changed = np.zeros(len(times), bool)
        if self._change is not None:
            changed = times >= self._change
        return changed.astype(np.int64)

    def _appeal(self, users: Integers, items: Integers, times: Integers) -> Floats:
        tastes = self._tastes[self._period(times), users]
        taste = np.einsum("nd,nd->n", tastes, self._item_vectors[items])
        appeal: Floats = self.settings.taste * taste.astype("f8")
        return appeal + self._quality[items]

    def _click_logit(self, shown: Shown) -> Floats:
        category = self.category[shown.item]
        age_days = (shown.time - self.launch[shown.item]) / DAY_MS
        price = np.nan_to_num(self.price[shown.item], nan=np.exp(3.0))
        hour = (shown.time % DAY_MS) / DAY_MS * 2 * np.pi
        logit = self._appeal(shown.user, shown.item, shown.time)
        logit += self._activity[shown.user]
        logit += _DEVICE_LOGIT[shown.device] + _SURFACE_LOGIT[shown.surface]
        logit += _POSITION_LOGIT * shown.position + 0.2 * np.sin(hour)
        country = self.country[shown.user]
        logit += self._country_category[self._period(shown.time), country, category]
        logit -= 0.2 * (np.log(price) - 3.0) + 0.15 * np.log1p(age_days)
        if self.settings.drift:
            span = self.settings.end_ms - self.settings.start_ms
            moved = (shown.time - self.settings.start_ms) / span - 0.5
            logit += self.settings.drift * moved * self._category_drift[category]
        return logit

    def _conversion_logit(self, shown: Shown) -> Floats:
        price = np.nan_to_num(self.price[shown.item], nan=np.exp(3.0))
        logit = 0.5 * self._appeal(shown.user, shown.item, shown.time)
        logit -= 0.4 * (np.log(price) - 3.0) + 0.5 * _DEVICE_LOGIT[shown.device]
        return logit

    def _calibrate(self, rng: np.random.Generator) -> None:
        """Sets the intercepts so that the mean truth of a period is the rate asked
        for."""
        settings = self.settings
        shown = draw_shown(self, rng, _CALIBRATION_ROWS)
        period = self._period(shown.time)
        # A period that is too short to be drawn needs no mean.
        periods = [(number, period == number) for number in np.unique(period)]
        logit = self._click_logit(shown)
        for number, rows in periods:
            self._click_intercept[number] = _intercept(
                logit[rows], np.ones(rows.sum()), settings.click_rate
            )
        clicks = self.click_probability(shown)
        logit = self._conversion_logit(shown)
        for number, rows in periods:
            self._conversion_intercept[number] = _intercept(
                logit[rows], clicks[rows], settings.conversion_rate
            )


def draw_shown(
    world: World,
    rng: np.random.Generator,
    count: int,
    quantiles: tuple[float, float] = (0.0, 1.0),
) -> Shown:
    """Draws `count` impressions in requests, within quantiles of the log's traffic."""
    settings = world.settings
    sizes = _request_sizes(rng, count, settings.request_size)
    low, high = quantiles
    spread = low + (high - low) * np.sort(rng.random(len(sizes)))
    times = _times_at(spread, settings)
    request = np.repeat(np.arange(len(sizes)), sizes)
    user = world.draw_users(rng, len(sizes))
    device = rng.choice(len(DEVICES), len(sizes), p=[0.6, 0.3, 0.1])
    surface = rng.choice(len(SURFACES), len(sizes), p=[0.4, 0.2, 0.3, 0.1])
    return Shown(
        request=request,
        position=np.arange(count) - (np.cumsum(sizes) - sizes)[request],
        time=times[request],
        user=user[request],
        item=world.draw_items(rng, times[request]),
        device=device[request],
        surface=surface[request],
    )


def _request_sizes(rng: np.random.Generator, count: int, mean: int) -> Integers:
    """Draws sizes, uniform in 1 .. 2 mean - 1, that add up to `count` exactly."""
    sizes = rng.integers(1, 2 * mean, count)
    ends = np.cumsum(sizes)
    last = int(np.searchsorted(ends, count))
    sizes = sizes[: last + 1]
    sizes[last] -= ends[last] - count
    return sizes


def _times_at(quantiles: Floats, settings: SynthesisSettings) -> Integers:
    """Maps quantiles of the traffic to times. It has a daily rhythm: the intensity is
    1 - 0.6 cos(2 pi t / day), lowest at midnight."""
    span = settings.end_ms - settings.start_ms
    grid = np.append(np.arange(0, span, DAY_MS // 96), span)
    turn = 2 * np.pi / DAY_MS
    mass = grid - 0.6 / turn * np.sin(turn * grid)
    offsets = np.interp(quantiles * mass[-1], mass, grid).astype(np.int64)
    return np.minimum(settings.start_ms + offsets, settings.end_ms - 1)


def _draw_country_tastes(rng: np.random.Generator) -> Floats:
    return rng.normal(0, 0.3, (len(COUNTRIES), NUM_CATEGORIES))


def _draw_tags(
    rng: np.random.Generator, category: Integers, counts: Integers
) -> Integers:
    """Draws tags, most of them from the few of the item's category, flat."""
    near = np.repeat(category * 8, counts) + rng.integers(0, 8, counts.sum())
    any_tag = rng.integers(0, NUM_TAGS, len(near))
    return np.where(rng.random(len(near)) < 0.8, near, any_tag)


def _zipf(count: int, exponent: float, rng: np.random.Generator) -> Floats:
    """Returns cumulative shares of Zipf's law; which index has which rank is random."""
    shares = _normalize((np.arange(count) + 1.0) ** -exponent)
    cumulative: Floats = np.cumsum(rng.permutation(shares))
    return cumulative


def _draw(cumulative: Floats, rng: np.random.Generator, size: int) -> Integers:
    places = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], "right")
    drawn: Integers = np.minimum(places, len(cumulative) - 1)
    return drawn


def _normalize(shares: Floats) -> Floats:
    normalized: Floats = shares / shares.sum()
    return normalized


def _sigmoid(logit: Floats) -> Floats:
    probability: Floats = 1.0 / (1.0 + np.exp(-logit))
    return probability


def _intercept(logit: Floats, weights: Floats, rate: float) -> float:
    """Solves mean(sigmoid(logit + b), weights) = rate for b by bisection."""
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = np.average(_sigmoid(logit + middle), weights=weights)
        low, high = (middle, high) if mean < rate else (low, middle)
    return (low + high) / 2
