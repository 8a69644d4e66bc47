"""Numbers of weights, in closed form and as published."""

import math

import pytest
import yaml

from configs.loading import parse_job
from tests.trainer.backbones.test_interactions import BACKBONES
from tests.trainer.model_jobs import even_job, vocabularies
from tests.trainer.reference import ROWS
from trainer.inference import build_inference_model

VALUES = sum(ROWS.values())
"""Rows of all tables of the small job; each variable has one more, of padding."""

FIELDS, SCALARS, PICTURE, D = 17, 5, 3, 4
"""8 features, 3 fields of a sequence, 4 + 1 numbers, 1 vector of 3; width 4."""

EMBEDDED = 11 * D


def mlp(inputs, *widths):
    pairs = zip([inputs, *widths[:-1]], widths, strict=True)
    return sum(n * m + m for n, m in pairs)


FIELD_WEIGHTS = (SCALARS + PICTURE) * D
FIRST_ORDER = VALUES + 1
WIDE = FIRST_ORDER + SCALARS + PICTURE
FLAT = EMBEDDED + SCALARS + PICTURE
MIXED = EMBEDDED + SCALARS * 2 + PICTURE
PAIRS = FIELDS * (FIELDS - 1) // 2
ALL = FIELDS * D


def block(inputs, width):
    mask = mlp(ALL, int(0.5 * inputs), inputs)
    return mask + inputs * width + 2 * width


def plain_block(inputs, width):
    return mlp(ALL, inputs, inputs) + inputs * width + 2 * width


def top(width):
    return width + 1


EXPECTED = {
    "fm": WIDE + FIELD_WEIGHTS + 1,
    "fwfm": WIDE + FIELD_WEIGHTS + PAIRS + 1,
    # All pairs of the four parts, and each part with itself.
    "gwpfm": WIDE + FIELD_WEIGHTS + 10 + 1,
    "dnn": mlp(FLAT, 8, 6) + top(6),
    "dnn_numbers": 15 + mlp(EMBEDDED + 15 + PICTURE, 8, 6) + top(6),
    "wide_deep": WIDE + mlp(FLAT, 8, 6) + top(1 + 6),
    "deepfm": WIDE + FIELD_WEIGHTS + mlp(ALL, 8, 6) + top(1 + 6),
    "ipnn": FIELD_WEIGHTS + mlp(ALL + PAIRS, 8, 6) + top(6),
    "low_rank": 2 * (2 * FLAT * 3 + FLAT) + mlp(FLAT, 8, 6) + top(FLAT + 6),
    # U, V and C of two experts, their gate, and one b.
    "mixture": 10
    + 2 * (2 * 2 * MIXED * 3 + 2 * 3 * 3 + 2 * MIXED + MIXED)
    + mlp(MIXED, 8, 6)
    + top(6),
    "masknet": FIELD_WEIGHTS + 2 * ALL + block(ALL, 8) + block(8, 6) + top(6),
    "parallel_masknet": FIELD_WEIGHTS
    + 2 * ALL
    + 2 * plain_block(ALL, 5)
    + mlp(2 * 5, 8, 6)
    + top(6),
}


def weights_of(model):
    return sum(math.prod(v.shape) for v in model.trainable_variables)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_number_of_weights_is_the_closed_form(name):
    model = build_inference_model(
        even_job(BACKBONES[name]), vocabularies=vocabularies()
    )
    assert weights_of(model) == (VALUES + 1) * D + EXPECTED[name]


ROWS_OF_CRITEO = 2_086_316
"""Embedding rows of Criteo_x1; 13 of them are the vectors of its numbers."""


def criteo(rows, backbone):
    """26 categorical features that share out the rows, and 13 numbers."""
    numbers = {f"I{k}": {"kind": "numeric"} for k in range(1, 14)}
    sizes = [rows // 26 + (k < rows % 26) for k in range(26)]
    values = {
        f"C{k}": {"kind": "categorical", "embedding": {"buckets": size}}
        for k, size in enumerate(sizes, 1)
    }
    return parse_job(
        yaml.safe_dump(
            {
                "name": "criteo",
                "data": dict.fromkeys(("impressions", "examples", "run", "models"), "x")
                | {"impressions": "x.csv"},
                "features": numbers | values,
                "ids": {"event": "id", "time": "time"},
                "labels": {"click": {"column": "click"}},
                "model": {
                    "embedding_dim": 10,
                    "backbone": backbone,
                    "tasks": {"click": {}},
                },
            }
        )
    )


@pytest.mark.slow
def test_dcn_v2_on_criteo_has_the_published_number_of_weights():
    """22,018,021: embeddings, three crosses, 500 x 3, and the last layer."""
    assert 39 * 10 == 390
    crosses, deep, last = 3 * (390 * 390 + 390), mlp(390, 500, 500, 500), 390 + 500 + 1
    assert (crosses, deep, last) == (457_470, 696_500, 891)
    assert ROWS_OF_CRITEO * 10 + crosses + deep + last == 22_018_021
    settings = {"name": "dcn_v2", "hidden": [500] * 3, "number_dim": 10, "dropout": 0.1}
    model = build_inference_model(criteo(ROWS_OF_CRITEO - 13, settings))
    # Ours has a row of padding, which stays 0.
    assert weights_of(model) - 10 == 22_018_021
