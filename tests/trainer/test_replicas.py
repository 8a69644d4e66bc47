"""1, 2 and 3 devices, and 2 worker processes, train the same weights: all optimizers.

Each count of devices is one process that trains all variants, one after another, as
TensorFlow's start costs more than they do.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs import dump_job, parse_job
from tests.trainer.example_sets import JOB, random_rows, write_example_set
from trainer.cluster import VARIABLE, tf_config
from trainer.workers import _free_addresses

ROOT = Path(__file__).resolve().parents[2]

STEPS = 50
"""49 whole batches of 16 rows, and one of a single row, of which most devices have
none."""

TOLERANCE = 2e-5
"""Of all weights and slots after 50 steps in float32. Replicas add the same numbers in
another order; Adam divides by roots of them, which widens the differences."""

BFLOAT16_SHARE = 0.05
"""Of the largest change of a variable: each replica rounds its share of the gradients
of dense weights to 8 bits before they are summed."""

EMBEDDINGS = "training.optimizer.embeddings"
FALLING = "{name: cosine, warmup_steps: 5, decay_steps: 40}"

OPTIMIZERS = {
    "lazy_adam": [f"{EMBEDDINGS}={{name: lazy_adam, learning_rate: 0.01}}"],
    "rowwise_adagrad": [f"{EMBEDDINGS}={{name: rowwise_adagrad, learning_rate: 0.01}}"],
    "adagrad": [f"{EMBEDDINGS}={{name: adagrad, learning_rate: 0.01}}"],
    "ftrl": [f"{EMBEDDINGS}={{name: ftrl, learning_rate: 0.01, l1: 0.001}}"],
    "sgd": [f"{EMBEDDINGS}={{name: sgd, learning_rate: 0.5, l2: 0.01}}"],
    "adam": [f"{EMBEDDINGS}={{name: adam, learning_rate: 0.01}}"],
}

OTHERS = {
    "clipped": [
        f"{EMBEDDINGS}={{name: lazy_adam, clip_norm: 0.01, schedule: {FALLING}}}",
        f"training.optimizer.dense={{clip_norm: 0.05, schedule: {FALLING}}}",
    ],
    "dense_adagrad": ["training.optimizer.dense={name: adagrad, clip_norm: 0.05}"],
    "adamw": [
        "training.optimizer.dense={name: adamw, weight_decay: 0.1}",
        f"{EMBEDDINGS}.name=adagrad",
    ],
    "jit_compile": ["training.jit_compile=true"],
    "bfloat16": ["training.precision=bfloat16"],
}

SCRIPT = """
import json, sys
import numpy as np
from configs import load_job
from trainer.assembly import assemble
from trainer.base_rates import base_rates
from trainer.cluster import ALONE, cluster_from
from trainer.devices import prepare_devices
from trainer.inputs.files import ExampleFiles
from trainer.inputs.example_set import read_all_statistics
from trainer.vocabularies import make_vocabularies

file, output, common, variants = sys.argv[1:]
common, variants = json.loads(common), json.loads(variants)
first = load_job(file, common)
several = first.training.strategy == "multi_worker"
cluster = cluster_from() if several else ALONE
strategy = prepare_devices(first.training, cluster)
values = {}
for variant, overrides in variants.items():
    job = load_job(file, [*common, *overrides])
    import keras
    keras.utils.set_random_seed(job.training.seed)
    source = ExampleFiles(
        job.data.examples, "train", job, batch_size=16, seed=1, block=64,
        shares=strategy.num_replicas_in_sync,
        workers=cluster.workers, worker=cluster.index,
    )
    with strategy.scope():
        assembly = assemble(
            job,
            statistics=read_all_statistics(job.data.examples),
            vocabularies=make_vocabularies(job, job.data.examples),
            base_rates=base_rates(job, source.split),
            element_spec=source.element_spec,
        )
        for when in ("before", "after"):
            for name, variable in assembly.variables.items():
                values[f"{variant}/{when}/{name}"] = variable.numpy()
            if when == "before":
                for shares in source.batches():
                    assembly.step(shares)
                assert assembly.step.sums()[0] == 50.0, assembly.step.sums()
if cluster.is_chief:
    np.savez(output, **{n.replace("/", "|"): v for n, v in values.items()})
"""


@pytest.fixture(scope="module")
def job_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    few = [line for line in JOB.splitlines() if "tags:" not in line]
    few = [line for line in few if "vector:" not in line]
    at = next(k for k, line in enumerate(few) if "history:" in line)
    text = "\n".join(few[:at] + few[at + 4 :]).replace("FOLDER", str(folder))
    job = parse_job(
        text,
        [
            "training.deterministic=false",
            "model.backbone.dropout=0.0",
            "model.backbone.hidden=[6]",
            "model.tasks.click.losses=[{name: combined_pair}]",
        ],
    )
    rows = random_rows(job, (STEPS - 1) * 16 + 1, seed=1)
    write_example_set(job, {"train": [rows[:300], rows[300:]]})
    path = folder / "job.yaml"
    path.write_text(dump_job(job))
    return path


def start(file, output, common, variants, config=None):
    words = [str(file), str(output), json.dumps(common), json.dumps(variants)]
    environment = dict(os.environ) | ({VARIABLE: config} if config else {})
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def trained(file, name, common, variants, workers=1):
    output = file.parent / f"{name}.npz"
    addresses = _free_addresses(workers)
    processes = [
        start(file, output, common, variants, tf_config(addresses, k))
        for k in range(workers)
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in processes:
            process.kill()
    return dict(np.load(output))


def mirrored(count):
    return ["training.strategy=mirrored", f"training.logical_devices={count}"]


def compare(one, several):
    assert one.keys() == several.keys()
    for name, value in one.items():
        limit = TOLERANCE
        if name.startswith("bfloat16|after"):
            change = value - one[name.replace("|after|", "|before|")]
            limit = max(limit, BFLOAT16_SHARE * float(np.abs(change).max(initial=0.0)))
        np.testing.assert_allclose(
            several[name], value, rtol=0, atol=limit, err_msg=name
        )


@pytest.fixture(scope="module")
def one_device(job_file):
    return trained(job_file, "one", ["training.strategy=single"], OPTIMIZERS)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 3])
def test_devices_equal_one(job_file, one_device, devices):
    several = trained(job_file, f"{devices}", mirrored(devices), OPTIMIZERS)
    assert any(
        np.abs(one_device[n] - one_device[n.replace("|after|", "|before|")]).max() > 0.1
        for n in one_device
        if "|after|inference" in n
    )
    compare(one_device, several)


@pytest.mark.slow
def test_two_workers_equal_one_process(job_file, one_device):
    common = ["training.strategy=multi_worker"]
    compare(one_device, trained(job_file, "workers", common, OPTIMIZERS, workers=2))


@pytest.mark.slow
def test_precision_compiler_clipping_and_schedules_on_two_devices(job_file):
    one = trained(job_file, "one-other", ["training.strategy=single"], OTHERS)
    compare(one, trained(job_file, "two-other", mirrored(2), OTHERS))
