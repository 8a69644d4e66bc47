"""What a synthetic log is to look like."""

from dataclasses import dataclass

from configs.durations import DAY_MS, duration_ms, moment_ms
from configs.errors import DataError
from preprocessing.datasets.log_writer import LogFormat

__all__ = ["SynthesisSettings"]


@dataclass(frozen=True, kw_only=True)
class SynthesisSettings:
    """Sizes, rates and impurities of a synthetic log.

    Attributes:
        impressions: rows of the impression log, duplicates not counted.
        users: number of users; how often each appears follows Zipf's law.
        items: number of items, likewise.
        days: length of the log, unless `span` is given.
        span: length of the log as a duration, such as "10m".
        start: its first moment.
        click_rate: mean true probability of the click label, 0.001 to 0.25.
        conversion_rate: mean true probability of a conversion, given a click.
        click_window: attribution window that the truth refers to.
        conversion_window: likewise, counted from the impression.
        click_delay: median time from impression to click, before the delays are
            conditioned on the window; at most a quarter of the window is taken.
        conversion_delay: likewise from click to conversion.
        request_size: mean number of impressions of a request.
        history_length: most recent clicks logged with an impression; 0 for none.
        taste: strength of the users' tastes; with 0 the history tells nothing.
        drift: how far the appeal of categories moves over the whole log.
        taste_change: moment inside the log from which on users have other tastes.
        late_click_share: clicks after the window, per click inside it. They come from
            impressions whose label is 0, and leave it 0.
        late_conversion_share: likewise of conversions.
        duplicate_share: rows logged twice, in each of the logs.
        orphan_share: clicks and conversions that name an unknown impression or click.
        disorder_share: rows that were logged up to a minute late.
        seed: of everything random.
        log_format: of the files.
        rows_per_file: a file is full when it has this many rows.
    """

    impressions: int = 1_000_000
    users: int = 50_000
    items: int = 10_000
    days: int = 8
    span: str | None = None
    start: str = "2026-01-01"
    click_rate: float = 0.02
    conversion_rate: float = 0.1
    click_window: str = "30m"
    conversion_window: str = "1d"
    click_delay: str = "15s"
    conversion_delay: str = "1h"
    request_size: int = 4
    history_length: int = 20
    taste: float = 1.0
    drift: float = 0.0
    taste_change: str | None = None
    late_click_share: float = 0.02
    late_conversion_share: float = 0.1
    duplicate_share: float = 0.005
    orphan_share: float = 0.002
    disorder_share: float = 0.02
    seed: int = 0
    log_format: LogFormat = "parquet"
    rows_per_file: int = 1_000_000

    def __post_init__(self) -> None:
        self._check_counts()
        self._check_rates()
        try:
            spans = duration_ms(self.click_window), duration_ms(self.conversion_window)
            delays = duration_ms(self.click_delay), duration_ms(self.conversion_delay)
            length = self.end_ms - self.start_ms
            change = self.taste_change_ms
        except ValueError as error:
            raise DataError(f"synthesize: {error}") from error
        if not length or not all(delays):
            raise DataError(
                "span, click_delay and conversion_delay: expected durations above zero"
            )
        if spans[1] < 2 * spans[0]:
            raise DataError(
                f"conversion_window is {self.conversion_window}, expected at least"
                f" twice click_window ({self.click_window}): conversions follow clicks"
            )
        if change is not None and not self.start_ms < change < self.end_ms:
            raise DataError(
                f"taste_change is {self.taste_change}, expected a moment inside the"
                f" log, which begins at {self.start} and lasts"
                f" {self.span or f'{self.days} days'}"
            )

    @property
    def start_ms(self) -> int:
        """First moment of the log, ms since the epoch."""
        return moment_ms(self.start)

    @property
    def end_ms(self) -> int:
        """End of the log: nothing is logged at or after it."""
        length = self.days * DAY_MS if self.span is None else duration_ms(self.span)
        return self.start_ms + length

    @property
    def taste_change_ms(self) -> int | None:
        """From here on tastes are others, ms since the epoch; None: they never are."""
        return None if self.taste_change is None else moment_ms(self.taste_change)

    def _check_counts(self) -> None:
        limits = {"users": 2**22, "items": 2**26, "history_length": 1_000}
        for name in (
            "impressions users items days request_size history_length rows_per_file"
        ).split():
            value = getattr(self, name)
            least = 0 if name == "history_length" else 1
            most = limits.get(name, 2**40)
            if not least <= value <= most:
                raise DataError(f"{name} is {value}, expected {least} to {most}")

    def _check_rates(self) -> None:
        limits = {
            "click_rate": (0.001, 0.25),
            "conversion_rate": (0.001, 0.5),
            "taste": (0.0, 10.0),
            "drift": (0.0, 10.0),
        }
        for name in (
            "click_rate conversion_rate taste drift late_click_share orphan_share"
            " late_conversion_share duplicate_share disorder_share"
        ).split():
            value, (least, most) = getattr(self, name), limits.get(name, (0.0, 0.5))
            if not least <= value <= most:
                raise DataError(f"{name} is {value}, expected {least} to {most}")
