"""The folder of a stream's sets is read in the order of their numbers."""

from configs.days import choose_days, local_sets
from configs.manifest import MANIFEST_FILE
from configs.stream_sets import number_of_set, set_name, stream_sets


def test_names_and_numbers():
    assert set_name(12) == "00000012"
    assert number_of_set("00000012") == 12
    assert number_of_set("12") is None
    assert number_of_set("2017-10-01") is None


def test_complete_sets_are_found_in_order(tmp_path):
    for number in (3, 11, 2):
        folder = tmp_path / set_name(number)
        folder.mkdir()
        (folder / MANIFEST_FILE).touch()
    (tmp_path / set_name(12)).mkdir()  # not complete
    assert list(stream_sets(tmp_path)) == [2, 3, 11]
    names = [path.rpartition("/")[2] for path in local_sets(str(tmp_path))]
    assert names == ["00000002", "00000003", "00000011"]


def test_days_go_before_numbers():
    assert choose_days(["00000001", "2017-10-01"], None, "x") == ["2017-10-01"]
