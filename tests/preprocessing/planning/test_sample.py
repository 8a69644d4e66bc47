"""Which logs folders hold, and what is read of them."""

import bz2
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from preprocessing.planning.columns import columns_of, time_unit
from preprocessing.planning.sample import read_sample
from preprocessing.planning.sources import find_sources

ROWS = 3_000


def _csv(separator: str, header: bool = True) -> bytes:
    lines = [f"{n}{separator}word {n % 7}{separator}{n / 2}" for n in range(ROWS)]
    first = [separator.join(("number", "word", "half"))] if header else []
    return "\n".join([*first, *lines, ""]).encode()


def test_files_named_alike_are_one_log(tmp_path: Path) -> None:
    for day in ("2026-01-01", "2026-01-02"):
        (tmp_path / day).mkdir()
        for name in ("clicks", "impressions"):
            (tmp_path / day / f"{name}-00000.csv").write_bytes(_csv(","))
    (tmp_path / "summary.json").write_text('{\n "a": 1\n}\n')
    (tmp_path / ".hidden.csv").write_text("x")
    sources = find_sources([str(tmp_path)])
    assert [source.name for source in sources] == ["clicks", "impressions"]
    assert sources[0].pattern == f"{tmp_path}/{{day}}/clicks-00000.csv"
    assert [len(source.files) for source in sources] == [2, 2]


def test_parts_of_a_cluster_have_the_name_of_their_folder(tmp_path: Path) -> None:
    for log in ("shown", "clicked"):
        for day in ("2026-01-01", "2026-01-02"):
            folder = tmp_path / log / f"day={day}"
            folder.mkdir(parents=True)
            for part in range(2):
                name = f"part-0000{part}-{day[-1]}af3-c000.csv.gz"
                (folder / name).write_bytes(gzip.compress(_csv(",")))
    sources = find_sources([str(tmp_path)])
    assert {source.name: len(source.files) for source in sources} == {
        "clicked": 4,
        "shown": 4,
    }
    assert sources[1].pattern.startswith(f"{tmp_path}/shown/day={{day}}/part-0000")


def test_nothing_that_could_be_a_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no log files"):
        find_sources([str(tmp_path)])
    with pytest.raises(DataError, match="no file or folder matches"):
        find_sources([str(tmp_path / "absent.csv")])


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.csv.gz", "a.tsv.bz2", "a.csv.zst", "a.parquet"]
)
def test_a_sample_is_bounded_and_tells_how_long_the_log_is(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    content = _csv("\t" if "tsv" in name else ",")
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(content))
    elif name.endswith(".bz2"):
        path.write_bytes(bz2.compress(content))
    elif name.endswith(".zst"):
        path.write_bytes(pa.compress(content, codec="zstd", asbytes=True))
    elif name.endswith(".parquet"):
        pq.write_table(pa.table({"number": range(ROWS)}), path, row_group_size=500)
    else:
        path.write_bytes(content)
    [source] = find_sources([str(path)])
    few = read_sample(source, 1_000)
    assert (few.table.num_rows, few.complete, few.headless) == (1_000, False, False)
    assert few.table["number"][999].as_py() in (999, "999")
    if not name.endswith((".gz", ".bz2", ".zst")):  # too small to tell when compressed
        assert few.rows == pytest.approx(ROWS, rel=0.1)
        assert str(few.last["number"][-1].as_py()) == "2999"
    everything = read_sample(source, ROWS)
    assert (everything.rows, everything.complete) == (ROWS, True)


def test_columns_without_a_header_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(_csv("\t", header=False))
    [source] = find_sources([str(tmp_path)])
    sample = read_sample(source, 10_000)
    assert sample.headless
    assert sample.table.column_names == ["column_1", "column_2", "column_3"]
    assert sample.table.num_rows == ROWS


def test_numeric_names_are_names_where_others_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("click,101,102\n" + "0,3,4\n1,5,6\n" * 20)
    [source] = find_sources([str(tmp_path)])
    assert read_sample(source, 100).table.column_names == ["click", "101", "102"]


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([1_700_000_000, 1_700_000_100], "s"),
        ([1_700_000_000_000, 1_700_000_100_000], "ms"),
        (["1700000000000000", "1700000100000000"], "us"),
        (["2017-11-07 09:30:38", "2017-11-07T13:40:27Z"], "iso"),
        (["noon", "night"], None),
        ([5, 6], None),
    ],
)
def test_units_of_times(tmp_path: Path, values: list[object], unit: str | None) -> None:
    lines = "".join(f"{value}\n" for value in ["at", *values])
    (tmp_path / "a.csv").write_text(lines)
    [source] = find_sources([str(tmp_path)])
    column = columns_of(read_sample(source, 100))["at"]
    assert time_unit(column, named=True) == unit


def test_cardinality_grows_as_it_grew_in_the_sample(tmp_path: Path) -> None:
    lines = [f"{n},{n % 10},{n // 2}" for n in range(8_000)]
    (tmp_path / "a.csv").write_text("\n".join(["own,digit,pair", *lines, ""]))
    [source] = find_sources([str(tmp_path)])
    columns = columns_of(read_sample(source, 1_000))
    assert columns["own"].growth == 1.0
    assert columns["own"].cardinality == pytest.approx(8_000, rel=0.25)
    assert columns["digit"].cardinality == 10
    assert columns["pair"].cardinality == pytest.approx(4_000, rel=0.25)
