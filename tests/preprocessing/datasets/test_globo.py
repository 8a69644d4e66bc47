"""The Globo conversion against plain loops: nothing of the future, nothing that gives
the label away."""

import gzip
from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from preprocessing.datasets.globo import GloboSettings, convert_globo

START = 1_506_826_800_000
HOUR = 3_600_000
HEADER = (
    "user_id,session_id,session_start,session_size,click_article_id,click_timestamp,"
    "click_environment,click_deviceGroup,click_os,click_country,click_region,"
    "click_referrer_type"
)
CONTEXT = ["environment", "device", "os", "country", "region", "referrer"]
SETTINGS = GloboSettings(negatives=3, window="2h", history_length=4, seed=1)


def write_log(path, seed=0, clicks=3_000):
    """A log with few users, articles and moments, so that ties and repeats abound."""
    rng = np.random.default_rng(seed)
    lines = [HEADER]
    for _ in range(clicks):
        # Articles appear as time goes on; times are in steps of two minutes.
        step = int(rng.integers(0, 600))
        article = 1_000 + int(step / 10 + rng.exponential(12))
        context = [int(v) for v in rng.integers(1, 5, 6)]
        values = [rng.integers(0, 60), 7, START, 2, article, START + step * 120_000]
        lines.append(",".join(map(str, [*values, *context])))
    path.write_text("\n".join(lines) + "\n")
    return path


def read(folder, name):
    files = sorted(folder.glob(f"{name}-*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("globo")
    source = write_log(folder / "clicks.csv")
    counters = convert_globo(source, folder / "logs", SETTINGS)
    clicks = []
    for text in source.read_text().splitlines()[1:]:
        values = [int(v) for v in text.split(",")]
        clicks.append(
            {
                "user": values[0],
                "article": values[4],
                "time": values[5],
                "context": values[6:],
            }
        )
    requests = defaultdict(list)
    for row in read(folder / "logs", "impressions"):
        requests[row["request_id"]].append(row)
    clicked = {c["impression_id"]: c for c in read(folder / "logs", "clicks")}
    return {
        "counters": counters,
        "clicks": clicks,
        "requests": list(requests.values()),
        "clicked": clicked,
        "folder": folder,
    }


def test_each_usable_click_is_one_request(converted) -> None:
    """Drops what nobody clicked lately, what the user clicked before, and equals."""
    expected, reasons, seen = Counter(), Counter(), set()
    for c in converted["clicks"]:
        others = [x for x in converted["clicks"] if x["article"] == c["article"]]
        first = min(x["time"] for x in others)
        lately = [x for x in others if c["time"] - 2 * HOUR <= x["time"] < c["time"]]
        mine = [x for x in others if x["user"] == c["user"] and x["time"] < c["time"]]
        key = c["user"], c["article"], c["time"]
        if first >= c["time"]:
            reasons["dropped_article_never_seen"] += 1
        elif not lately:
            reasons["dropped_article_not_seen_lately"] += 1
        elif mine:
            reasons["dropped_repeated_by_user"] += 1
        elif key in seen:
            reasons["dropped_duplicate"] += 1
        else:
            expected[key] += 1
        seen.add(key)
    found = Counter()
    for rows in converted["requests"]:
        positives = [r for r in rows if r["impression_id"] in converted["clicked"]]
        assert len(positives) == 1
        row = positives[0]
        found[row["user_id"], row["article_id"], row["timestamp_ms"]] += 1
        click = converted["clicked"][row["impression_id"]]
        assert click["timestamp_ms"] == row["timestamp_ms"]
    assert found == expected
    counters = converted["counters"]
    assert {name: counters[name] for name in reasons} == reasons
    assert len(reasons) == 4
    assert counters["clicks"] == sum(expected.values())
    assert counters["impressions"] == sum(map(len, converted["requests"]))
    assert counters["clicks_read"] == counters["clicks_in_period"] == 3_000
    short = sum(len(rows) < 4 for rows in converted["requests"])
    assert counters["rows_short_of_negatives"] == short < 0.2 * sum(expected.values())


def test_negatives_were_clicked_lately_by_others_and_never_by_the_user(
    converted,
) -> None:
    by_article = defaultdict(list)
    for c in converted["clicks"]:
        by_article[c["article"]].append(c)
    for rows in converted["requests"]:
        articles = [r["article_id"] for r in rows]
        assert len(set(articles)) == len(articles) <= 4
        for row in rows:
            time, user = row["timestamp_ms"], row["user_id"]
            others = by_article[row["article_id"]]
            lately = [c for c in others if time - 2 * HOUR <= c["time"] < time]
            assert lately, "clicked by somebody in the window before"
            assert row["article_recent_clicks"] == len(lately)
            first = min(c["time"] for c in others)
            hours = (time - first) / HOUR
            assert row["article_age_hours"] == pytest.approx(hours, abs=6e-4)
            mine = [c["time"] for c in others if c["user"] == user]
            if row["impression_id"] in converted["clicked"]:
                assert not [t for t in mine if t < time]
            else:
                assert not [t for t in mine if t <= time]


def test_rows_of_a_request_share_everything_but_the_article(converted) -> None:
    contexts = defaultdict(list)
    for c in converted["clicks"]:
        contexts[c["user"], c["article"], c["time"]].append(c["context"])
    own = {"impression_id", "article_id", "article_age_hours", "article_recent_clicks"}
    for rows in converted["requests"]:
        shared = [{k: v for k, v in r.items() if k not in own} for r in rows]
        assert all(s == shared[0] for s in shared)
        (row,) = (r for r in rows if r["impression_id"] in converted["clicked"])
        key = row["user_id"], row["article_id"], row["timestamp_ms"]
        assert [row[name] for name in CONTEXT] in contexts[key]


def test_histories_are_the_users_last_clicks_strictly_before(converted) -> None:
    by_user = defaultdict(list)
    for number, c in enumerate(converted["clicks"]):
        by_user[c["user"]].append((c["time"], number, c["article"]))
    lengths = Counter()
    for rows in converted["requests"]:
        row = rows[0]
        time = row["timestamp_ms"]
        # Of clicks at one time the order is that of the source.
        earlier = sorted(c for c in by_user[row["user_id"]] if c[0] < time)[-4:]
        assert row["history_article"] == [article for _, _, article in earlier]
        ages = [(time - t) / HOUR for t, _, _ in earlier]
        assert row["history_age_hours"] == pytest.approx(ages, abs=1e-3)
        assert all(age > 0 for age in row["history_age_hours"])
        lengths[len(earlier)] += 1
    assert set(lengths) == {0, 1, 2, 3, 4}


def test_order_and_ids_tell_nothing(converted) -> None:
    places = Counter()
    ids = []
    for rows in converted["requests"]:
        ids += [r["impression_id"] for r in rows]
        if len(rows) == 4:
            numbers = sorted(r["impression_id"] for r in rows)
            (row,) = (r for r in rows if r["impression_id"] in converted["clicked"])
            places[numbers.index(row["impression_id"])] += 1
    assert ids == sorted(set(ids))
    total = sum(places.values())
    for place in range(4):
        # Four standard deviations of a binomial share of a quarter.
        assert abs(places[place] - total / 4) < 4 * (total * 3 / 16) ** 0.5
    times = [rows[0]["timestamp_ms"] for rows in converted["requests"]]
    assert times == sorted(times)


def test_negatives_are_in_proportion_to_recent_clicks(tmp_path) -> None:
    # A, B, C and D are clicked 8, 4, 2 and 1 times, each by a user of its own; then
    # many users come once, and the articles they click (E) are no candidates of theirs.
    lines, user = [HEADER], 0
    weights = {1: 8, 2: 4, 3: 2, 4: 1, 5: 1}
    for article, count in weights.items():
        for _ in range(count):
            lines.append(f"{user},7,0,2,{article},{START},1,1,1,1,1,1")
            user += 1
    for _ in range(4_000):
        lines.append(f"{user},7,0,2,5,{START + HOUR},1,1,1,1,1,1")
        user += 1
    (tmp_path / "clicks.csv").write_text("\n".join(lines) + "\n")
    settings = GloboSettings(negatives=1, window="1h")
    convert_globo(tmp_path / "clicks.csv", tmp_path / "logs", settings)
    rows = read(tmp_path / "logs", "impressions")
    found = Counter(r["article_id"] for r in rows)
    assert found.pop(5) == 4_000
    for article, weight in list(weights.items())[:4]:
        share = weight / 15
        deviation = (4_000 * share * (1 - share)) ** 0.5
        assert abs(found[article] - 4_000 * share) < 4 * deviation


def test_a_period_knows_what_came_before(converted, tmp_path) -> None:
    source = converted["folder"] / "clicks.csv"
    settings = GloboSettings(
        negatives=3,
        window="2h",
        history_length=4,
        start="2017-10-01T10:00",
        until="2017-10-01T14:00",
    )
    convert_globo(source, tmp_path / "logs", settings)
    begin = START + 7 * HOUR  # The log starts at 03:00.
    everything = {}
    for rows in converted["requests"]:
        for row in rows:
            if row["impression_id"] in converted["clicked"]:
                everything[row["request_id"]] = row
    expected = {
        key
        for key, row in everything.items()
        if begin <= row["timestamp_ms"] < begin + 4 * HOUR
    }
    clicked = {c["impression_id"] for c in read(tmp_path / "logs", "clicks")}
    positives = [
        r
        for r in read(tmp_path / "logs", "impressions")
        if r["impression_id"] in clicked
    ]
    assert {r["request_id"] for r in positives} == expected
    for row in positives:
        same = {**everything[row["request_id"]], "impression_id": row["impression_id"]}
        assert row == same


def test_same_seed_same_bytes_and_chunks_are_seamless(
    converted, tmp_path, monkeypatch
) -> None:
    source = converted["folder"] / "clicks.csv"
    convert_globo(source, tmp_path / "again", SETTINGS)
    for file in sorted((converted["folder"] / "logs").iterdir()):
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    monkeypatch.setattr("preprocessing.datasets.globo._CHUNK", 100)
    convert_globo(source, tmp_path / "chunks", SETTINGS)
    clicked = {c["click_id"] for c in read(tmp_path / "chunks", "clicks")}
    assert clicked == {c["click_id"] for c in converted["clicked"].values()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read"),
        (HEADER + "\n", "holds no clicks"),
        ("user_id,click_article_id\n1,2\n", "click_timestamp"),
        (HEADER + "\n1,7,0,2,x,5,1,1,1,1,1,1\n", "invalid value 'x'"),
        (HEADER + "\n1,7,0,2,,5,1,1,1,1,1,1\n", "empty values"),
    ],
)
def test_a_wrong_source_is_refused(tmp_path, text, message) -> None:
    (tmp_path / "clicks.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        convert_globo(tmp_path / "clicks.csv", tmp_path / "logs", SETTINGS)
    assert not (tmp_path / "logs").exists()


def test_wrong_settings_and_empty_periods(tmp_path) -> None:
    with pytest.raises(DataError, match="negatives is 0"):
        GloboSettings(negatives=0)
    with pytest.raises(DataError, match="is not before"):
        GloboSettings(start="2017-10-02", until="2017-10-02")
    with pytest.raises(DataError, match="expected a duration"):
        GloboSettings(window="2 hours")
    source = write_log(tmp_path / "clicks.csv", clicks=50)
    with pytest.raises(DataError, match=r"no click from 2018-01-01 .*2017-10-01T"):
        convert_globo(source, tmp_path / "logs", GloboSettings(start="2018-01-01"))
    with pytest.raises(DataError, match="No such file"):
        convert_globo(tmp_path / "none.csv.gz", tmp_path / "logs", SETTINGS)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(source.read_bytes())[:-20])
    with pytest.raises(DataError, match="cannot read"):
        convert_globo(tmp_path / "cut.csv.gz", tmp_path / "logs", SETTINGS)


@pytest.mark.slow
def test_the_public_log(tmp_path, public_data) -> None:
    source = public_data("globo_clicks") / "globo_clicks.csv.gz"
    settings = GloboSettings(start="2017-10-10T06:00", until="2017-10-10T07:00")
    counters = convert_globo(source, tmp_path / "logs", settings)
    assert counters["clicks_read"] == 2_988_181
    dropped = sum(n for name, n in counters.items() if name.startswith("dropped"))
    assert counters["clicks"] == counters["clicks_in_period"] - dropped
    assert counters["impressions"] == 5 * counters["clicks"]
    rows = read(tmp_path / "logs", "impressions")
    clicked = {c["impression_id"] for c in read(tmp_path / "logs", "clicks")}
    # Neither age nor recent popularity alone tells clicks from negatives.
    labels = np.array([r["impression_id"] in clicked for r in rows])
    for name in ("article_age_hours", "article_recent_clicks"):
        values = np.array([r[name] for r in rows])
        above = (values[labels][:, None] > values[~labels][None, :2_000]).mean()
        assert 0.4 < above < 0.6
