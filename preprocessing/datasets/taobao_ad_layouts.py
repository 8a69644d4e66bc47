"""The files of Taobao's display-advertising data."""

import pyarrow as pa

from preprocessing.datasets.delimited import Layout

__all__ = ["ADS", "AD_COLUMNS", "BEHAVIORS", "PROFILE_COLUMNS", "SAMPLES", "USERS"]

_MISSING = ("NULL", "null")

SAMPLES = Layout(
    of="raw_sample.csv of Taobao's display ads",
    types={
        "user": pa.int64(),
        "time_stamp": pa.int64(),
        "adgroup_id": pa.int64(),
        "pid": pa.string(),
        "nonclk": pa.int8(),
        "clk": pa.int8(),
    },
)

AD_COLUMNS = ["adgroup_id", "cate_id", "campaign_id", "customer", "brand", "price"]

ADS = Layout(
    of="ad_feature.csv of Taobao's display ads",
    types={
        **dict.fromkeys(AD_COLUMNS, pa.int64()),
        "price": pa.float64(),
    },
    nullable=("brand", "price"),
    null_texts=_MISSING,
)

PROFILE_COLUMNS = [
    *("cms_segid", "cms_group_id", "final_gender_code", "age_level", "pvalue_level"),
    *("shopping_level", "occupation", "new_user_class_level"),
]

USERS = Layout(
    of="user_profile.csv of Taobao's display ads",
    types=dict.fromkeys(["userid", *PROFILE_COLUMNS], pa.int64()),
    nullable=tuple(PROFILE_COLUMNS),
    null_texts=_MISSING,
)

BEHAVIORS = Layout(
    of="behavior_log.csv of Taobao's display ads",
    types={
        "user": pa.int64(),
        "time_stamp": pa.int64(),
        "btag": pa.string(),
        "cate": pa.int64(),
        "brand": pa.int64(),
    },
    nullable=("brand",),
    null_texts=_MISSING,
)
