"""The layout of examples and the raw columns, both derived from the features."""

import dataclasses

import pytest

from configs import JobError
from configs.columns import RawColumn, categorical_type, raw_columns
from configs.layout import layout_of, multi_valued_key, sequence_key
from tests.configs.jobs import job_of


def test_the_layout_follows_the_order_of_the_job():
    layout = layout_of(job_of())
    assert layout.labels == ("click", "purchase")
    assert layout.ids == ("event", "user", "item", "request")
    assert layout.categorical == ("user", "item", "twin")
    assert layout.numeric == ("price", "hour")
    assert layout.dense == {"picture": 3}
    assert layout.multi_valued == {"tags": 32}
    history = layout.sequences["history"]
    assert (history.max_length, history.fields) == (5, ("item", "age"))
    assert history.categorical == ("item",)
    assert history.numeric == {"age"}


def test_ids_that_are_absent_are_left_out():
    layout = layout_of(job_of({"ids.user": ..., "ids.request": ...}))
    assert layout.ids == ("event", "item")


def test_sessions_stand_behind_the_ids_that_were_there_before():
    layout = layout_of(job_of({"ids.session": "visit"}))
    assert layout.ids == ("event", "user", "item", "request", "session")


def test_keys():
    assert multi_valued_key("tags") == "multi_valued/tags"
    assert sequence_key("history", "item") == "sequence/history/item"


def test_raw_columns_name_the_log():
    columns = raw_columns(job_of({"features.price.column": "cost"}))
    assert list(columns) == [
        "user",
        "item",
        "twin",
        "tags",
        "cost",
        "hour",
        "picture",
        "history_item",
        "history_age",
    ]
    assert columns["user"] == RawColumn(name="user", type="int64")
    assert columns["tags"] == RawColumn(name="tags", type="string", is_list=True)
    assert columns["picture"].length == 3
    assert columns["history_item"].aligned_with == "history_item"
    assert columns["history_age"].aligned_with == "history_item"
    assert columns["history_age"].type == "number"


def test_two_features_may_read_one_column_if_they_agree():
    job = job_of({"features.twin.column": "item"})
    assert list(raw_columns(job)).count("item") == 1


def test_two_features_that_disagree_about_a_column_are_refused():
    with pytest.raises(JobError, match="one column has one type"):
        job_of({"features.twin.column": "hour"})


def test_a_shared_field_takes_the_type_of_its_table():
    job = job_of(
        {
            "features.item.type": "int64",
            "features.twin.type": "int64",
        }
    )
    assert categorical_type(job, "history.item") == "int64"
    assert raw_columns(job)["history_item"].type == "int64"
    own = job_of(
        {"features.history.fields.item": {"type": "int64", "embedding": {"buckets": 9}}}
    )
    assert categorical_type(own, "history.item") == "int64"


def test_a_raw_column_is_frozen():
    column = RawColumn(name="x", type="number")
    with pytest.raises(dataclasses.FrozenInstanceError):
        column.name = "y"
