"""Files of the layouts of the public data sets, generated: as many rows as wanted."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from preprocessing.datasets.aliexpress import LAYOUT as ALIEXPRESS
from preprocessing.datasets.avazu import CATEGORIES as AVAZU_CATEGORIES
from preprocessing.datasets.criteo_x1 import LAYOUT as CRITEO_X1


def write(path: Path, table: pa.Table, *, header=True, delimiter=","):
    """Writes a table as text; gzip if the name says so."""
    options = pa_csv.WriteOptions(
        include_header=header, delimiter=delimiter, quoting_style="none"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        with gzip.open(path, "wb", compresslevel=1) as file:
            pa_csv.write_csv(table, file, options)
    else:
        pa_csv.write_csv(table, path, options)
    if header:
        # Arrow puts names in quotes; the published files do not.
        text = path.read_bytes() if path.suffix != ".gz" else None
        if text is not None:
            first, rest = text.split(b"\n", 1)
            path.write_bytes(first.replace(b'"', b"") + b"\n" + rest)
    return path


def texts(values) -> pa.Array:
    """Whole numbers as texts."""
    return pa.array(values).cast(pa.string())


def splits_of(table: pa.Table, sizes) -> list[pa.Table]:
    """Cuts a table into parts of these sizes."""
    ends = np.cumsum(sizes)
    return [
        table.slice(end - size, size) for end, size in zip(ends, sizes, strict=True)
    ]


def three_files(folder: Path, table: pa.Table, suffix="") -> dict[str, pa.Table]:
    """train, valid and test of 7 : 2 : 1; returns them by split."""
    rows = table.num_rows
    sizes = [rows - rows // 5 - rows // 10, rows // 5, rows // 10]
    parts = splits_of(table, sizes)
    for name, part in zip(("train", "valid", "test"), parts, strict=True):
        write(folder / f"{name}.csv{suffix}", part)
    return dict(zip(("train", "validation", "test"), parts, strict=True))


def criteo_x1(folder: Path, rows: int, suffix="", seed=0) -> dict[str, pa.Table]:
    rng = np.random.default_rng(seed)
    columns = {"label": (rng.random(rows) < 0.256).astype("i1")}
    for name in [n for n in CRITEO_X1.types if n.startswith("I")]:
        columns[name] = np.round(rng.random(rows), 4).astype("f4")
    for k, name in enumerate(n for n in CRITEO_X1.types if n.startswith("C")):
        columns[name] = (rng.pareto(1.0, rows) * 10).astype("i8") % 10 ** (k % 5 + 2)
    return three_files(folder, pa.table(columns), suffix)


def avazu(folder: Path, rows: int, suffix="", seed=0) -> dict[str, pa.Table]:
    rng = np.random.default_rng(seed)
    day, hour = rng.integers(21, 31, rows), rng.integers(0, 24, rows)
    columns = {
        "id": texts(rng.integers(10**17, 10**18, rows)),
        "click": (rng.random(rows) < 0.17).astype("i1"),
        "hour": (141000 + day) * 100 + hour,
    }
    for k, name in enumerate(AVAZU_CATEGORIES):
        columns[name] = texts(rng.integers(0, 10 ** (k % 5 + 1), rows))
    return three_files(folder, pa.table(columns), suffix)


def aliexpress(folder: Path, rows: int, suffix="", seed=0) -> dict[str, pa.Table]:
    rng = np.random.default_rng(seed)
    click = rng.random(rows) < 0.02
    columns = {"search_id": np.sort(rng.integers(1, rows // 4 + 2, rows))}
    for name in list(ALIEXPRESS.types)[1:-2]:
        small = name.startswith("categorical")
        columns[name] = (
            rng.integers(0, 40, rows) if small else np.round(rng.random(rows), 3)
        )
    columns["click"] = click.astype("i1")
    columns["conversion"] = (click & (rng.random(rows) < 0.2)).astype("i1")
    parts = splits_of(pa.table(columns), [rows - rows // 3, rows // 3])
    for name, part in zip(("train", "test"), parts, strict=True):
        write(folder / f"{name}.csv{suffix}", part)
    return dict(zip(("train", "test"), parts, strict=True))


def feature_lists(features: dict[str, np.ndarray], extra="") -> tuple[pa.Array, int]:
    """Ali-CCP's lists, one feature of each field; their number in each list."""
    parts = []
    for name, ids in features.items():
        text = pc.binary_join_element_wise(f"{name}\x02", texts(ids), "\x031.0", "")
        parts.append(text)
    joined = pc.binary_join_element_wise(*parts, "\x01") if parts else None
    if extra:
        joined = pc.binary_join_element_wise(joined, extra, "\x01")
    count = len(features) + extra.count("\x02")
    return joined, count


def ali_ccp(folder: Path, rows: int, suffix="", seed=0) -> dict[str, dict]:
    """Returns, of each split, the features by field, and the labels."""
    truth = {}
    for number, split in enumerate(("train", "test")):
        rng = np.random.default_rng([seed, number])
        users = max(rows // 50, 2)
        common = {
            name: rng.integers(1, 400_000, users)
            for name in ("101", "121", "122", "124", "125", "126", "127", "128", "129")
        }
        # A field with many features, and values other than 1, as in the real files.
        many = "109_14\x023731\x031.38629\x01109_14\x0217\x030.69315\x01853\x024\x031.0"
        lists, count = feature_lists(common, many)
        keys = pc.binary_join_element_wise("key", texts(np.arange(users)), "")
        write(
            folder / f"common_features_{split}.csv{suffix}",
            pa.table({"k": keys, "n": np.full(users, count), "f": lists}),
            header=False,
        )
        own = {
            name: rng.integers(1, 9_000_000, rows)
            for name in ("205", "206", "207", "216", "508", "702", "301")
        }
        lists, count = feature_lists(own)
        user = rng.integers(0, users, rows)
        click = rng.random(rows) < 0.04
        bought = click & (rng.random(rows) < 0.05) | (rng.random(rows) < 0.001)
        write(
            folder / f"sample_skeleton_{split}.csv{suffix}",
            pa.table(
                {
                    "id": np.arange(1, rows + 1),
                    "y": click.astype("i1"),
                    "z": bought.astype("i1"),
                    "k": keys.take(pa.array(user)),
                    "n": np.full(rows, count),
                    "f": lists,
                }
            ),
            header=False,
        )
        truth[split] = {
            "click": click,
            "conversion": bought,
            **{name: ids[user] for name, ids in common.items()},
            **own,
        }
    return truth


def behaviors(path: Path, rows: int, seed=0) -> pa.Table:
    """UserBehavior.csv: some lines twice, some outside the nine days."""
    rng = np.random.default_rng(seed)
    users = max(rows // 25, 4)
    item = (rng.pareto(0.8, rows) * 20).astype("i8") % max(rows // 20, 50) + 1
    start = 1_511_539_200
    time = start + rng.integers(0, 9 * 86_400, rows)
    outside = rng.random(rows) < 0.001
    time[outside] = rng.choice([start - 1, start + 9 * 86_400, 44], outside.sum())
    table = pa.table(
        {
            "user": rng.integers(1, users + 1, rows),
            "item": item,
            "category": item % 97 + 1000,
            "type": pa.array(["pv", "cart", "fav", "buy"]).take(
                pa.array(rng.choice(4, rows, p=[0.9, 0.05, 0.03, 0.02]))
            ),
            "time": time,
        }
    )
    again = pa.array(np.sort(np.r_[np.arange(rows), rng.integers(0, rows, rows // 99)]))
    table = table.take(again)
    write(path, table, header=False)
    return table


def taobao_ads(folder: Path, rows: int, suffix="", logged=0, seed=0) -> dict:
    """raw_sample.csv and its tables; `logged` lines of behaviour a row."""
    rng = np.random.default_rng(seed)
    users, ads = max(rows // 25, 4), max(rows // 30, 5)
    user = rng.integers(1, users + 1, rows)
    click = (rng.random(rows) < 0.051).astype("i1")
    first = 1_494_000_000  # midnight in China at the beginning of 2017-05-06
    sample = {
        "user": user,
        "time_stamp": first + rng.integers(0, 8 * 86_400, rows),
        "adgroup_id": rng.integers(1, ads + 1, rows),
        "pid": pa.array(["430548_1007", "430539_1007"]).take(
            pa.array(rng.integers(0, 2, rows))
        ),
        "nonclk": 1 - click,
        "clk": click,
    }
    write(folder / f"raw_sample.csv{suffix}", pa.table(sample))
    brand = texts(rng.integers(1, 500, ads)).to_pylist()
    ad = {
        "adgroup_id": np.arange(1, ads + 1)[::-1],
        "cate_id": rng.integers(1, 90, ads),
        "campaign_id": rng.integers(1, 900, ads),
        "customer": rng.integers(1, 700, ads),
        "brand": ["NULL" if k % 3 == 0 else b for k, b in enumerate(brand)],
        "price": np.round(rng.random(ads) * 500, 2),
    }
    write(folder / f"ad_feature.csv{suffix}", pa.table(ad))
    known = np.arange(1, users + 1)[rng.random(users) < 0.94]
    level = texts(rng.integers(1, 4, len(known))).to_pylist()
    profile = {
        "userid": known,
        "cms_segid": rng.integers(0, 97, len(known)),
        "cms_group_id": rng.integers(0, 13, len(known)),
        "final_gender_code": rng.integers(1, 3, len(known)),
        "age_level": rng.integers(0, 7, len(known)),
        # The header of the real file has this blank.
        "pvalue_level ": ["" if k % 2 else v for k, v in enumerate(level)],
        "shopping_level": rng.integers(1, 4, len(known)),
        "occupation": rng.integers(0, 2, len(known)),
        "new_user_class_level ": ["" if k % 3 else v for k, v in enumerate(level)],
    }
    write(folder / f"user_profile.csv{suffix}", pa.table(profile))
    done = {}
    if logged:
        count = rows * logged
        done = {
            "user": rng.integers(1, users * 2, count),
            "time_stamp": first - 14 * 86_400 + rng.integers(-9, 22 * 86_400, count),
            "btag": pa.array(["pv", "cart", "fav", "buy"]).take(
                pa.array(rng.integers(0, 4, count))
            ),
            "cate": rng.integers(1, 90, count),
            "brand": rng.integers(1, 500, count),
        }
        write(folder / f"behavior_log.csv{suffix}", pa.table(done))
    return {"sample": sample, "ad": ad, "profile": profile, "behaviors": done}


def movielens(folder: Path, rows: int, suffix="", seed=0) -> pa.Table:
    rng = np.random.default_rng(seed)
    movies = max(rows // 700, 20)
    genres = ["Adventure|Children|Fantasy", "Drama", "Comedy|Romance"]
    (folder).mkdir(parents=True, exist_ok=True)
    lines = ["movieId,title,genres"]
    for k in range(1, movies + 1):
        genre = genres[k % 3] if k % 7 else "(no genres listed)"
        lines.append(f'{3 * k},"Movie, The ""{k}"" (1995)",{genre}')
    (folder / "movies.csv").write_text("\n".join(lines) + "\n")
    table = pa.table(
        {
            "userId": np.sort(rng.integers(1, max(rows // 144, 5) + 1, rows)),
            "movieId": 3 * rng.integers(1, movies + 1, rows),
            "rating": rng.integers(1, 11, rows) / 2,
            "timestamp": 1_112_484_727 + rng.integers(0, 300_000_000, rows),
        }
    )
    write(folder / f"ratings.csv{suffix}", table)
    return table
