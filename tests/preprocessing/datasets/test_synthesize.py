"""Synthetic logs: the truth is true, histories are earlier, impurities are there."""

import glob
import itertools
import json
import math
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from preprocessing.datasets.synthesis_settings import SynthesisSettings
from preprocessing.datasets.synthesize import synthesize
from preprocessing.datasets.synthetic_world import World, draw_shown

MINUTE, DAY = 60_000, 86_400_000
SMALL = {"impressions": 60_000, "users": 2_000, "items": 500, "days": 4}
DIRTY = SynthesisSettings(
    **SMALL,
    click_rate=0.1,
    conversion_rate=0.2,
    history_length=5,
    late_click_share=0.1,
    late_conversion_share=0.3,
    duplicate_share=0.02,
    orphan_share=0.01,
    disorder_share=0.05,
    seed=3,
)


def read(folder, name):
    files = sorted(glob.glob(f"{folder}/{name}-*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("synthetic") / "logs"
    synthesize(DIRTY, target)
    return target


@pytest.fixture(scope="module")
def logs(folder):
    return {
        name: read(folder, name).to_pylist()
        for name in ("impressions", "clicks", "conversions")
    }


@pytest.fixture(scope="module")
def joined(logs):
    """The plain join: of duplicates the earliest, then labels within the windows."""
    rows = {}
    for row in logs["impressions"]:
        rows.setdefault(row["impression_id"], dict(row, click=0, conversion=0))
    clicks = earliest(logs["clicks"], "click_id")
    for click in clicks.values():
        row = rows.get(click["impression_id"])
        if row is not None:
            delay = click["timestamp_ms"] - row["timestamp_ms"]
            row["click"] |= int(0 <= delay <= 30 * MINUTE)
    for conversion in earliest(logs["conversions"], "conversion_id").values():
        click = clicks.get(conversion["click_id"])
        row = rows.get(click["impression_id"]) if click else None
        if row is not None:
            delay = conversion["timestamp_ms"] - row["timestamp_ms"]
            row["conversion"] |= int(row["click"] and 0 <= delay <= DAY)
    # The windows of later rows are still open at the end of the log.
    return [r for r in rows.values() if r["timestamp_ms"] + DAY < DIRTY.end_ms]


def earliest(events, key):
    found = {}
    for event in sorted(events, key=lambda e: e["timestamp_ms"]):
        found.setdefault(event[key], event)
    return found


def check_calibrated(truths, labels, groups):
    """Sums of labels against sums of truths, within 4.5 standard deviations."""
    truths, labels = np.array(truths), np.array(labels)
    for group in np.array_split(np.argsort(truths), groups):
        truth, label = truths[group], labels[group]
        deviation = math.sqrt((truth * (1 - truth)).sum())
        assert abs(label.sum() - truth.sum()) < 4.5 * deviation


def test_click_truth_is_the_probability_of_the_joined_label(joined) -> None:
    assert len(joined) > 40_000
    check_calibrated(
        [r["click_truth"] for r in joined], [r["click"] for r in joined], 10
    )


def test_conversion_truth_is_the_probability_given_the_joined_click(joined) -> None:
    clicked = [r for r in joined if r["click"]]
    check_calibrated(
        [r["conversion_truth"] for r in clicked], [r["conversion"] for r in clicked], 4
    )
    assert not any(r["conversion"] and not r["click"] for r in joined)


@pytest.mark.parametrize("feature", ["device", "age_bucket", "category", "position"])
def test_truth_is_calibrated_in_every_slice(joined, feature) -> None:
    slices = defaultdict(list)
    for row in joined:
        slices[row[feature]].append(row)
    assert len(slices) >= 3
    for rows in slices.values():
        check_calibrated(
            [r["click_truth"] for r in rows], [r["click"] for r in rows], 1
        )


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.25])
def test_mean_truth_is_the_rate_asked_for(rate) -> None:
    world = World(SynthesisSettings(**SMALL, click_rate=rate, conversion_rate=0.3))
    shown = draw_shown(world, np.random.default_rng(5), 200_000)
    click, conversion = (
        world.click_probability(shown),
        world.conversion_probability(shown),
    )
    assert click.mean() == pytest.approx(rate, rel=0.04)
    assert np.average(conversion, weights=click) == pytest.approx(0.3, rel=0.04)


def test_histories_are_the_last_clicks_strictly_before(logs) -> None:
    clicks = earliest(logs["clicks"], "click_id")
    shown = {r["impression_id"]: r for r in logs["impressions"]}
    by_user = defaultdict(list)
    for click in clicks.values():
        row = shown.get(click["impression_id"])
        if row is not None:
            by_user[row["user_id"]].append((click["timestamp_ms"], row["item_id"]))
    longest = checked = 0
    for row in logs["impressions"][::7]:
        logged = sorted(
            c for c in by_user[row["user_id"]] if c[0] < row["timestamp_ms"]
        )
        items, ages = row["history_item"], row["history_age_hours"]
        assert len(items) == len(ages) == len(row["history_category"]) <= 5
        assert ages == sorted(ages, reverse=True)
        assert all(age >= 0 for age in ages)
        logged = logged[-5:]
        checked += len(logged)
        longest = max(longest, len(logged))
        if len({time for time, _ in logged}) == len(logged):
            assert items[len(items) - len(logged) :] == [item for _, item in logged]
            for (time, _), age in zip(reversed(logged), reversed(ages), strict=False):
                hours = (row["timestamp_ms"] - time) / 3_600_000
                assert age == pytest.approx(hours, abs=6e-4)
    assert longest == 5 and checked > 1_000


def test_items_and_users_keep_their_features(logs) -> None:
    category, country = {}, {}
    for row in logs["impressions"]:
        pairs = [(row["item_id"], row["category"])]
        pairs += zip(row["history_item"], row["history_category"], strict=True)
        for item, value in pairs:
            assert category.setdefault(item, value) == value
        assert country.setdefault(row["user_id"], row["country"]) == row["country"]
        assert row["item_age_days"] >= 0
    prices = [r["price"] for r in logs["impressions"] if r["price"] is not None]
    assert 0 < len(prices) < len(logs["impressions"])
    assert max(prices) > 10 * np.median(prices)


def test_the_history_tells_the_taste(tmp_path) -> None:
    def lift(taste):
        settings = SynthesisSettings(
            impressions=40_000, users=2_000, items=500, taste=taste, click_rate=0.05
        )
        synthesize(settings, tmp_path / str(taste))
        rows = read(tmp_path / str(taste), "impressions").to_pylist()
        # Of items of categories that this user clicked often, against the others.
        often, never = [], []
        for row in rows:
            count = row["history_category"].count(row["category"])
            if len(row["history_category"]) >= 10:
                (often if count >= 3 else never if count == 0 else []).append(
                    row["click_truth"]
                )
        return np.mean(often) / np.mean(never)

    # With equal tastes what is left is that some items please everybody.
    assert lift(2.0) > 2 * lift(0.0)


def test_impurities_have_their_shares(logs) -> None:
    rows = logs["impressions"]
    ids = [r["impression_id"] for r in rows]
    assert len(ids) - len(set(ids)) == pytest.approx(0.02 * 60_000, rel=0.2)
    times = [r["timestamp_ms"] for r in rows]
    assert sum(b < a for a, b in itertools.pairwise(times)) > 1_000
    assert max(a - b for a, b in itertools.pairwise(times)) <= MINUTE
    known = {r["impression_id"]: r["timestamp_ms"] for r in rows}
    clicks = earliest(logs["clicks"], "click_id").values()
    orphans = [c for c in clicks if c["impression_id"] not in known]
    assert len(orphans) == pytest.approx(0.01 * len(clicks), rel=0.5)
    delays = [
        c["timestamp_ms"] - known[c["impression_id"]]
        for c in clicks
        if c["impression_id"] in known
    ]
    late = sum(delay > 30 * MINUTE for delay in delays)
    assert late == pytest.approx(0.1 * (len(delays) - late), rel=0.2)
    assert min(delays) >= 0
    assert 8_000 < np.median([d for d in delays if d <= 30 * MINUTE]) < 25_000
    clicked = {c["click_id"] for c in clicks}
    unknown = [c for c in logs["conversions"] if c["click_id"] not in clicked]
    assert unknown
    assert 0 < len(logs["conversions"]) - len(
        earliest(logs["conversions"], "conversion_id")
    )


def test_conversion_delays_are_skewed_and_some_pass_the_window(logs) -> None:
    clicks = earliest(logs["clicks"], "click_id")
    shown = {r["impression_id"]: r["timestamp_ms"] for r in logs["impressions"]}
    delays, since_impression = [], []
    for conversion in earliest(logs["conversions"], "conversion_id").values():
        click = clicks.get(conversion["click_id"])
        if click and click["impression_id"] in shown:
            delays.append(conversion["timestamp_ms"] - click["timestamp_ms"])
            since = conversion["timestamp_ms"] - shown[click["impression_id"]]
            since_impression.append(since)
    assert min(delays) >= 0
    inside = [d for d, s in zip(delays, since_impression, strict=True) if s <= DAY]
    assert 0.3 * 60 * MINUTE < np.median(inside) < 1.5 * 60 * MINUTE
    assert np.mean(inside) > 1.3 * np.median(inside)
    assert 0.05 < np.mean(np.array(since_impression) > DAY) < 0.4


def test_times_span_the_days_with_a_daily_rhythm(logs) -> None:
    times = np.array([r["timestamp_ms"] for r in logs["impressions"]]) - DIRTY.start_ms
    assert times.min() >= 0
    assert times.max() < 4 * DAY
    assert set(times // DAY) == {0, 1, 2, 3}
    hours = np.bincount(times % DAY // 3_600_000, minlength=24)
    assert hours[[11, 12]].min() > 2 * hours[[0, 23]].max()
    for name in ("clicks", "conversions"):
        assert max(e["timestamp_ms"] for e in logs[name]) < DIRTY.end_ms


def test_requests_share_user_and_time(logs) -> None:
    requests = defaultdict(set)
    sizes = defaultdict(set)
    for row in logs["impressions"]:
        requests[row["request_id"]].add((row["user_id"], row["timestamp_ms"]))
        sizes[row["request_id"]].add(row["impression_id"])
    assert all(len(values) == 1 for values in requests.values())
    assert np.mean([len(s) for s in sizes.values()]) == pytest.approx(4, rel=0.05)


def test_users_and_items_follow_zipf(logs) -> None:
    for name, exponent in (("user_id", 0.8), ("item_id", 1.0)):
        counts = defaultdict(int)
        for row in logs["impressions"]:
            counts[row[name]] += 1
        ranked = np.array(sorted(counts.values(), reverse=True), float)
        slope = np.polyfit(np.log(np.arange(5, 200)), np.log(ranked[5:200]), 1)[0]
        assert slope == pytest.approx(-exponent, abs=0.15)


def test_same_seed_same_bytes_other_seed_other_rows(tmp_path, folder) -> None:
    synthesize(DIRTY, tmp_path / "again")
    for file in sorted(folder.iterdir()):
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    other = SynthesisSettings(**SMALL, seed=4)
    synthesize(other, tmp_path / "other")
    truths = [
        read(f, "impressions")["click_truth"] for f in (folder, tmp_path / "other")
    ]
    assert truths[0][:100] != truths[1][:100]


def test_formats_hold_the_same_rows(tmp_path) -> None:
    for log_format in ("parquet", "jsonl"):
        settings = SynthesisSettings(
            impressions=3_000,
            users=100,
            items=50,
            click_rate=0.2,
            log_format=log_format,
        )
        synthesize(settings, tmp_path / log_format)
    for name in ("impressions", "clicks", "conversions"):
        text = (tmp_path / "jsonl" / f"{name}-00000.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
        assert rows == read(tmp_path / "parquet", name).to_pylist()


def test_chunks_join_without_a_seam(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("preprocessing.datasets.synthesize._CHUNK", 1_000)
    settings = SynthesisSettings(
        impressions=5_500, users=100, items=50, duplicate_share=0.0, disorder_share=0.0
    )
    summary = synthesize(settings, tmp_path / "logs")
    table = read(tmp_path / "logs", "impressions")
    ids = table["impression_id"].to_pylist()
    assert ids == [f"imp{n}" for n in range(5_500)]
    times = table["timestamp_ms"].to_pylist()
    assert times == sorted(times)
    requests = [int(r[3:]) for r in table["request_id"].to_pylist()]
    assert requests == sorted(requests)
    assert summary["rows"]["impressions"] == 5_500


def test_no_history_and_drift(tmp_path) -> None:
    settings = SynthesisSettings(impressions=500, users=50, items=20, history_length=0)
    synthesize(settings, tmp_path / "logs")
    names = read(tmp_path / "logs", "impressions").column_names
    assert not [name for name in names if name.startswith("history")]
    for drift, moves in ((0.0, False), (3.0, True)):
        world = World(SynthesisSettings(**SMALL, drift=drift, click_rate=0.1))
        shown = draw_shown(world, np.random.default_rng(1), 100_000)
        truth, category = world.click_probability(shown), world.category[shown.item]
        half = len(truth) // 2
        ratios = [
            truth[half:][category[half:] == c].mean()
            / truth[:half][category[:half] == c].mean()
            for c in range(8)
        ]
        assert (max(ratios) > 1.6) == moves


def test_tastes_change_at_the_moment_and_so_does_the_truth(tmp_path) -> None:
    noon = "2026-01-02T12:00"
    changed, same = (
        SynthesisSettings(
            **{**SMALL, "impressions": 30_000},
            click_rate=0.1,
            taste=2.0,
            history_length=0,
            taste_change=at,
        )
        for at in (noon, None)
    )
    moment = changed.taste_change_ms
    worlds = World(changed), World(same)
    shown = draw_shown(worlds[0], np.random.default_rng(5), 100_000)
    before = shown.time < moment
    assert 0.3 < before.mean() < 0.4
    truths = [
        (world.click_probability(shown), world.conversion_probability(shown))
        for world in worlds
    ]
    for truth, unchanged in zip(*truths, strict=True):
        logits = [np.log(t / (1 - t)) for t in (truth, unchanged)]
        difference = logits[0] - logits[1]
        # Before it the same but for the intercept; after it the tastes are others.
        assert np.std(difference[before]) < 1e-9
        assert np.std(difference[~before]) > 0.5
    for rows in (before, ~before):
        assert truths[0][0][rows].mean() == pytest.approx(0.1, rel=0.04)

    synthesize(changed, tmp_path / "logs")
    clicked = set(read(tmp_path / "logs", "clicks")["impression_id"].to_pylist())
    rows = read(tmp_path / "logs", "impressions").to_pylist()
    for after in (False, True):
        half = [r for r in rows if (r["timestamp_ms"] >= moment) == after]
        half = [r for r in half if r["timestamp_ms"] < changed.end_ms - 40 * MINUTE]
        labels = [r["impression_id"] in clicked for r in half]
        # Clicks after the window are some more.
        truth = [r["click_truth"] * 1.02 for r in half]
        check_calibrated(truth, labels, 5)


def test_a_log_of_minutes_has_windows_of_seconds(tmp_path) -> None:
    settings = SynthesisSettings(
        **{**SMALL, "impressions": 30_000},
        span="5m",
        click_rate=0.1,
        conversion_rate=0.3,
        click_window="10s",
        conversion_window="1m",
        click_delay="1s",
        conversion_delay="8s",
        late_conversion_share=0.0,
        disorder_share=0.0,
    )
    synthesize(settings, tmp_path / "logs")
    times = {
        name: np.array(read(tmp_path / "logs", name)["timestamp_ms"])
        for name in ("impressions", "clicks", "conversions")
    }
    for moments in times.values():
        assert settings.start_ms <= moments.min()
        assert moments.max() < settings.start_ms + 5 * MINUTE
    # Evenly, a rate that a stream can be played at.
    per_minute = np.bincount((times["impressions"] - settings.start_ms) // MINUTE)
    assert per_minute.min() > 0.95 * 6_000
    rows = read(tmp_path / "logs", "impressions").to_pylist()
    shown = {r["impression_id"]: r["timestamp_ms"] for r in rows}
    clicks = earliest(read(tmp_path / "logs", "clicks").to_pylist(), "click_id")
    delays = [
        c["timestamp_ms"] - shown[c["impression_id"]]
        for c in clicks.values()
        if c["impression_id"] in shown
    ]
    assert np.median(delays) == pytest.approx(1_000, rel=0.15)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"click_rate": 0.5}, "click_rate is 0.5, expected 0.001 to 0.25"),
        ({"impressions": 0}, "impressions is 0"),
        ({"click_window": "half an hour"}, "expected a duration"),
        ({"start": "yesterday"}, "expected an ISO 8601 date"),
        ({"conversion_window": "31m"}, "expected at least twice click_window"),
        ({"duplicate_share": -0.1}, "duplicate_share is -0.1"),
        ({"span": "0m"}, "expected durations above zero"),
        ({"conversion_delay": "0s"}, "expected durations above zero"),
        ({"taste_change": "2026-01-09"}, "inside the log, .* lasts 8 days"),
        ({"span": "1h", "taste_change": "2026-01-02"}, "lasts 1h"),
    ],
)
def test_wrong_settings_are_refused(changes, message) -> None:
    with pytest.raises(DataError, match=message):
        SynthesisSettings(**changes)


def test_an_existing_folder_stays_unless_told(tmp_path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "mine").write_text("keep")
    settings = SynthesisSettings(impressions=100, users=10, items=10)
    with pytest.raises(DataError, match="--overwrite"):
        synthesize(settings, tmp_path / "logs")
    assert (tmp_path / "logs" / "mine").read_text() == "keep"
    with pytest.raises(DataError, match="holds other files"):
        synthesize(settings, tmp_path / "logs", overwrite=True)
    assert (tmp_path / "logs" / "mine").read_text() == "keep"
    for _ in range(2):
        synthesize(settings, tmp_path / "new", overwrite=True)
    assert (tmp_path / "new" / "summary.json").exists()
