"""Draws labels, and then clicks and conversions that give exactly those labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from configs.durations import duration_ms
from preprocessing.datasets.synthesis_settings import SynthesisSettings
from preprocessing.datasets.synthetic_world import Shown

__all__ = ["Events", "draw_clicks", "draw_conversions"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_CLICK_SIGMA, _CONVERSION_SIGMA = 1.2, 1.5
"""Standard deviations of the logarithms of the delays, before they are conditioned on
the window."""


@dataclass(frozen=True)
class Events:
    """Events of a chunk of impressions, in the order of the impressions.

    Attributes:
        rows: int64 [n], the impression of each; no impression has two.
        times: int64 [n], ms since the epoch.
        labels: bool [n], whether the event makes the impression's label 1.
    """

    rows: Integers
    times: Integers
    labels: npt.NDArray[np.bool_]


def draw_clicks(
    rng: np.random.Generator,
    settings: SynthesisSettings,
    shown: Shown,
    probability: Floats,
) -> Events:
    """Draws label ~ Bernoulli(probability), and late clicks among the zeros.

    The delay of a label 1 is log-normal given that it is at most the window; that of a
    late click is the window plus an exponential time with the window as its mean.
    """
    window = duration_ms(settings.click_window)
    label = rng.random(len(probability)) < probability
    late_share = np.minimum(settings.late_click_share * probability, 1 - probability)
    late_share /= 1 - probability
    late = ~label & (rng.random(len(label)) < late_share)
    rows = np.flatnonzero(label | late)
    labels = label[rows]
    limits = np.full(len(rows), window)
    median = duration_ms(settings.click_delay)
    delays = _delays_within(rng, limits, median, _CLICK_SIGMA)
    beyond = window + 1 + rng.exponential(window, len(rows)).astype(np.int64)
    times = shown.time[rows] + np.where(labels, delays, beyond)
    return Events(rows, times, labels)


def draw_conversions(
    rng: np.random.Generator,
    settings: SynthesisSettings,
    shown: Shown,
    clicks: Events,
    probability: Floats,
) -> Events:
    """Draws label | click ~ Bernoulli(probability), and conversions that do not count:
    those after the window, and those that answer a late click.

    `probability` is per impression, [impressions]. The window is counted from the
    impression, so a conversion has what the click left of it.
    """
    window = duration_ms(settings.conversion_window)
    chance = probability[clicks.rows]
    converts = rng.random(len(chance)) < chance
    late_share = np.minimum(settings.late_conversion_share * chance, 1 - chance)
    late = ~converts & (rng.random(len(chance)) < late_share / (1 - chance))
    chosen = np.flatnonzero(converts | late)
    rows, click_times = clicks.rows[chosen], clicks.times[chosen]
    ends = shown.time[rows] + window
    # A late click can come after the window; whatever follows it is late as well.
    inside = converts[chosen] & (click_times < ends)
    limits = np.where(inside, ends - click_times, window)
    median = duration_ms(settings.conversion_delay)
    delays = _delays_within(rng, limits, median, _CONVERSION_SIGMA)
    beyond = 1 + rng.exponential(window / 2, len(rows)).astype(np.int64)
    late_times = np.maximum(ends, click_times) + beyond
    times = np.where(inside, click_times + delays, late_times)
    return Events(rows, times, inside & clicks.labels[chosen])


def _delays_within(
    rng: np.random.Generator, limits: Integers, median: float, sigma: float
) -> Integers:
    """Draws log-normal delays (ms), each given that it is at most its limit.

    By rejection; the median is lowered to a quarter of a shorter limit.
    """
    center = np.log(np.minimum(median, limits / 4.0))
    delays = np.exp(center + sigma * rng.normal(size=len(limits)))
    over = np.flatnonzero(delays > limits)
    while len(over):
        delays[over] = np.exp(center[over] + sigma * rng.normal(size=len(over)))
        over = over[delays[over] > limits[over]]
    whole: Integers = delays.astype(np.int64)
    return whole
