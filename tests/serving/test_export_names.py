"""Columns may be called anything that a log can call them."""

from pathlib import Path

import pytest
import tensorflow as tf

from serving.export_version import write_version
from serving.input_names import standins
from serving.saved_model import load_model, warm_model
from serving.specification import specification_of
from serving.values import pack_columns
from tests.serving.models import SINGLE_JOB, inference_model, job_of

FEATURE = "  word: {kind: categorical, embedding: {buckets: 10}}\n"
ODD = [
    "class",
    "self",
    "1st",
    "user id",
    "user.id",
    "user-id",
    "user_id",
    "\u00fcnit",
    "a/b:0",
]


def test_plain_names_stand_for_themselves() -> None:
    assert standins(["user_id", "Item2", "inputs"]) == [None] * 3
    for odd in ODD:
        assert standins(["plain", odd]) == ["column_0", "column_1"] or odd == "user_id"


def test_odd_names_are_those_of_the_signature(tmp_path: Path) -> None:
    features = "".join(
        FEATURE.replace("word: {", f"f{n}: {{column: {name!r}, ")
        for n, name in enumerate(ODD)
    )
    job = job_of(SINGLE_JOB.replace(FEATURE, features))
    specification = specification_of(job)
    rows = [{name: f"value {n}" for n, name in enumerate(ODD)}]
    rows += [{**rows[0], name: "another"} for name in ODD]
    write_version(
        tmp_path,
        job=job,
        model=inference_model(job),
        specification=specification,
        rows=rows,
        warmup_rows=1,
    )
    model = load_model(tmp_path)
    warm_model(model)  # Each column reaches its own feature: the answers agree.
    columns = {name: [row[name] for row in rows] for name in ODD}
    scores = model.predict(pack_columns(specification, columns)[0])["click"].tolist()
    assert len(set(scores)) > len(ODD) // 2
    # What TensorFlow Serving reads:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path))
        signature = loaded.signature_def["serving_default"]
        assert set(signature.inputs) == set(ODD)
        feed = {signature.inputs[n].name: columns[n] for n in ODD}
        found = session.run(signature.outputs["click"].name, feed)
    assert found.tolist() == pytest.approx(scores, abs=1e-6)
