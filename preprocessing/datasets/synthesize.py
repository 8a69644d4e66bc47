"""Generates impression, click and conversion logs whose true probabilities are known.

Everything is drawn a chunk of impressions at a time, in whole columns; memory is that
of a chunk, the users, the items and the users' last clicks. The logs depend on the
settings alone.

The truth columns are exact: `click_truth` is the probability with which the joined
click label was drawn, and `conversion_truth` that of the conversion label given a
click. Labels are drawn first, and delays afterwards so that they agree with them: of a
label 1 the delay is conditioned to lie inside the window; late clicks are extra events
of impressions whose label is 0.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from configs.durations import DAY_MS
from configs.publishing import publish_folder
from preprocessing.datasets.histories import Histories, HistorySlices
from preprocessing.datasets.log_writer import LogWriter
from preprocessing.datasets.synthesis_settings import SynthesisSettings
from preprocessing.datasets.synthetic_events import (
    Events,
    draw_clicks,
    draw_conversions,
)
from preprocessing.datasets.synthetic_tables import (
    Names,
    click_table,
    conversion_table,
    impression_table,
    soiled,
)
from preprocessing.datasets.synthetic_world import Shown, World, draw_shown

__all__ = ["synthesize"]

_CHUNK = 250_000
"""Impressions drawn at a time. Part of what the seed means: do not change it."""
_WARM_UP = 60 * DAY_MS
"""Users' histories begin this long before the log."""

_SUMMARY_FILE = "summary.json"


def synthesize(
    settings: SynthesisSettings, target: str | Path, *, overwrite: bool = False
) -> dict[str, Any]:
    """Writes the logs and a `summary.json` to the folder `target`; returns the summary.

    Raises:
        DataError: if `target` exists and `overwrite` is false.
    """
    summary = _Summary()
    with ExitStack() as stack:
        folder = stack.enter_context(
            publish_folder(target, overwrite=overwrite, mark=_SUMMARY_FILE)
        )
        logs = {
            name: stack.enter_context(
                LogWriter(folder, name, settings.log_format, settings.rows_per_file)
            )
            for name in ("impressions", "clicks", "conversions")
        }
        progress = stack.enter_context(
            tqdm(total=settings.impressions, unit=" impressions", file=sys.stderr)
        )
        for tables, count in _chunks(settings, summary):
            for name, table in tables.items():
                logs[name].write(table)
            progress.update(count)
        figures = summary.figures(settings)
        figures["rows"] = {name: log.rows for name, log in logs.items()}
        text = json.dumps(figures, indent=2) + "\n"
        (folder / _SUMMARY_FILE).write_text(text, encoding="utf-8")
    return figures


def _chunks(
    settings: SynthesisSettings, summary: "_Summary"
) -> Iterator[tuple[dict[str, pa.Table], int]]:
    """Yields the rows of each log, a chunk of impressions at a time."""
    world = World(settings)
    names = Names(world)
    histories = _first_histories(world) if settings.history_length else None
    first_request = 0
    for number, first in enumerate(range(0, settings.impressions, _CHUNK)):
        count = min(_CHUNK, settings.impressions - first)
        rng = np.random.default_rng([settings.seed, 2, number])
        ends = first / settings.impressions, (first + count) / settings.impressions
        shown = draw_shown(world, rng, count, ends)
        truths = world.click_probability(shown), world.conversion_probability(shown)
        clicks = draw_clicks(rng, settings, shown, truths[0])
        conversions = draw_conversions(rng, settings, shown, clicks, truths[1])
        summary.add(truths, clicks, conversions)
        slices = _look_up(histories, shown, clicks) if histories else None
        rows = impression_table(names, shown, first, first_request, truths, slices)
        first_request += int(shown.request[-1]) + 1
        tables = {
            "impressions": rows,
            "clicks": click_table(clicks, first),
            "conversions": conversion_table(conversions, first),
        }
        yield {n: soiled(t, rng, settings) for n, t in tables.items()}, count


def _first_histories(world: World) -> Histories:
    """Returns the users' own clicks of the weeks before the log."""
    settings = world.settings
    rng = np.random.default_rng([settings.seed, 3])
    begin = settings.start_ms - _WARM_UP
    histories = Histories(first_time=begin, max_length=settings.history_length)
    mean = 0.75 * settings.history_length
    counts = np.minimum(
        rng.geometric(1 / (1 + mean), settings.users) - 1, settings.history_length
    )
    users = np.repeat(np.arange(settings.users), counts)
    for block in np.array_split(users, max(1, len(users) // 1_000_000)):
        times = begin + rng.integers(0, _WARM_UP, len(block))
        histories.add(block, times, world.draw_liked_items(rng, block))
    return histories


def _look_up(histories: Histories, shown: Shown, clicks: Events) -> HistorySlices:
    histories.add(shown.user[clicks.rows], clicks.times, shown.item[clicks.rows])
    slices = histories.before(shown.user, shown.time)
    histories.forget_before(int(shown.time[-1]))
    return slices


class _Summary:
    """Sums over the chunks, for the figures of the whole log."""

    def __init__(self) -> None:
        self._impressions = 0
        self._click_truth = self._click_entropy = 0.0
        self._conversion_truth = self._conversion_entropy = 0.0
        self._clicks = self._late_clicks = 0
        self._conversions = self._late_conversions = 0

    def add(self, truths: tuple[Any, Any], clicks: Events, conversions: Events) -> None:
        click, conversion = truths
        self._impressions += len(click)
        self._click_truth += click.sum()
        self._click_entropy += _entropy(click).sum()
        self._conversion_truth += (click * conversion).sum()
        self._conversion_entropy += (click * _entropy(conversion)).sum()
        self._clicks += int(clicks.labels.sum())
        self._late_clicks += int((~clicks.labels).sum())
        self._conversions += int(conversions.labels.sum())
        self._late_conversions += int((~conversions.labels).sum())

    def figures(self, settings: SynthesisSettings) -> dict[str, Any]:
        """Returns the settings, the counts, and what no model can be better than."""
        return {
            "settings": dataclasses.asdict(settings),
            "drawn": {
                "impressions": self._impressions,
                "click_labels": self._clicks,
                "late_clicks": self._late_clicks,
                "conversion_labels": self._conversions,
                "conversions_that_do_not_count": self._late_conversions,
            },
            "mean_click_truth": self._click_truth / self._impressions,
            "expected_click_log_loss": self._click_entropy / self._impressions,
            "mean_conversion_truth_given_click": self._conversion_truth
            / self._click_truth,
            "expected_conversion_log_loss_given_click": self._conversion_entropy
            / self._click_truth,
        }


def _entropy(probability: Any) -> Any:
    """Returns the expected log loss of a prediction that is the truth."""
    other = 1.0 - probability
    return -(probability * np.log(probability) + other * np.log(other))
