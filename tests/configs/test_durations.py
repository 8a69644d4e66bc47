from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from configs.durations import duration_ms, moment_ms

DAY = 24 * 60 * 60 * 1000


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0s", 0),
        ("500ms", 500),
        ("30s", 30 * 1000),
        ("30m", 30 * 60 * 1000),
        ("12h", 12 * 60 * 60 * 1000),
        ("7d", 7 * DAY),
    ],
)
def test_durations(text, milliseconds):
    assert duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "30", "m", "1.5h", "-1d", "1 d", "1d ", "1w", "1D", 30, None, True]
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="expected a duration such as"):
        duration_ms(text)


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        ("1970-01-02", DAY),
        (date(1970, 1, 2), DAY),
        ("1970-01-02T00:00:00", DAY),
        ("1970-01-02T02:00:00+02:00", DAY),
        ("1970-01-02T00:00:00Z", DAY),
        (datetime(1970, 1, 2), DAY),
        (datetime(1970, 1, 2, tzinfo=UTC), DAY),
        (datetime(1970, 1, 2, 2, tzinfo=timezone(timedelta(hours=2))), DAY),
        ("1970-01-01T00:00:00.001", 1),
        (1_507_593_600_000, 1_507_593_600_000),
        (-5, -5),
    ],
)
def test_moments_are_utc_unless_they_name_an_offset(value, milliseconds):
    assert moment_ms(value) == milliseconds


@pytest.mark.parametrize("value", ["", "soon", "2017-13-01", True, 1.5, None, [1]])
def test_what_is_no_moment(value):
    with pytest.raises(ValueError, match="expected"):
        moment_ms(value)
