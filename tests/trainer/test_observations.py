"""Which rows are what to a task, over all that a row can say."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs.layout import ELAPSED, LABEL_KINDS, EventKind, layout_of
from tests.oracles import fake_negatives as oracle
from tests.trainer.example_sets import example, random_rows, small_job
from trainer.inputs.examples import parse_examples
from trainer.observations import observed

LABEL = {(kind, label) for kind in range(5) for label in (0, 1)}
LABEL -= {(oracle.LATE_POSITIVE, 0), (oracle.REAL_NEGATIVE, 1)}
ROWS = [tuple(zip(*pair, strict=True)) for pair in product(sorted(LABEL), repeat=2)]
"""Kinds and labels of two labels, as far as a label can have such a kind."""
NAMES = ("click", "buy")


def test_the_oracle_means_the_same_kinds():
    assert {kind.name: int(kind) for kind in EventKind} == {
        name: getattr(oracle, name)
        for name in ("FIRST", "LATE_POSITIVE", "REAL_NEGATIVE", "REPEATED", "SETTLED")
    }


@pytest.mark.parametrize("given", [None, "click"])
@pytest.mark.parametrize("of", ["numpy", "tensorflow"])
def test_roles_are_those_of_one_row_after_another(given: str | None, of: str) -> None:
    kinds = np.array([kinds for kinds, _ in ROWS], np.int64)
    labels = np.array([labels for _, labels in ROWS], np.float32)
    arrays = (labels, kinds)
    if of == "tensorflow":
        arrays = tuple(map(tf.constant, arrays))
    found = observed(*arrays, label=1, given=None if given is None else 0)
    for row, (kind, label) in enumerate(ROWS):
        expected = oracle.roles(
            dict(zip(NAMES, kind, strict=True)),
            dict(zip(NAMES, label, strict=True)),
            "buy",
            given,
        )
        roles = {name for name, values in found._asdict().items() if bool(values[row])}
        assert roles == expected, (kind, label)


def test_sets_of_whole_logs_have_settled_labels(tmp_path: Path) -> None:
    """Examples from before there was a stream, or from `preprocessing run`."""
    stream = "stream={join: {state: out, observe: 5m}}"
    plain, job = small_job(tmp_path), small_job(tmp_path, stream)
    rows = [example(row) for row in random_rows(plain, 3, seed=0)]
    assert not {LABEL_KINDS, ELAPSED} & set(parse_examples(rows, layout_of(plain)))
    batch = parse_examples(rows, layout_of(job))
    assert batch[LABEL_KINDS].numpy().tolist() == [[EventKind.SETTLED]] * 3
    assert batch[ELAPSED].numpy().tolist() == [-1] * 3
    late = random_rows(plain, 1, seed=0)[0]
    late |= {LABEL_KINDS: np.array([1]), ELAPSED: np.array([60_000])}
    batch = parse_examples([example(late)], layout_of(job))
    assert batch[LABEL_KINDS].numpy().tolist() == [[EventKind.LATE_POSITIVE]]
    assert batch[ELAPSED].numpy().tolist() == [60_000]
