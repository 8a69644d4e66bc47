"""The estimate of memory is arithmetic, and what does not fit is refused with it."""

from types import SimpleNamespace

import numpy as np
import pytest

from configs import TrainingError
from configs.backbones import FactorizationMachine
from configs.layout import layout_of
from configs.manifest import read_statistics
from tests.trainer import model_jobs
from tests.trainer.example_sets import small_example_set, small_job
from trainer.assembly import assemble
from trainer.inputs.files import ExampleFiles
from trainer.memory import (
    _values_of_a_row,
    check_memory,
    free_on_gpus,
    free_on_host,
    memory_of,
)
from trainer.train import train
from trainer.vocabularies import make_vocabularies

MIB = 2**20


def source_of(job):
    return ExampleFiles(job.data.examples, "train", job, batch_size=16, seed=1)


EXPERTS = "sets: [{experts: [{name: dnn}]}, {dim: 3, experts: [{name: dnn}]}]"


@pytest.mark.parametrize("backbone", ["dcn_v2", "deepfm", f"experts, {EXPERTS}"])
@pytest.mark.parametrize("name", ["lazy_adam", "rowwise_adagrad", "ftrl", "sgd"])
def test_tables_and_slots_are_those_of_the_model(tmp_path, name, backbone):
    """A DeepFM has first-order weights besides, experts have further sets, and DMR a
    table of its own."""
    auxiliary = "{name: dmr, target_buckets: 7}" if backbone == "deepfm" else ""
    job = small_job(
        tmp_path,
        f"training.optimizer.embeddings.name={name}",
        f"model.backbone={{name: {backbone}}}",
        f"model.auxiliary=[{auxiliary}]",
    )
    small_example_set(job)
    vocabularies, source = make_vocabularies(job, job.data.examples), source_of(job)
    memory = memory_of(job, vocabularies, source, 1)
    made = assemble(
        job,
        statistics=read_statistics(job.data.examples),
        vocabularies=vocabularies,
        base_rates={"click": 0.5},
        element_spec=source.element_spec,
    )
    variables = [v.value for v in made.model.table_variables]
    assert memory.tables == sum(4 * int(np.prod(v.shape)) for v in variables)
    assert memory.rows == sum(int(v.shape[0]) for v in variables)
    assert memory.slots == made.tables.slot_bytes()


def test_times_crosses_and_buckets_are_in_a_batch():
    made = (
        "features.clock={kind: time, part: hour, timezone: UTC, dim: 3}",
        "features.pair={kind: crossed, of: [device, clock],"
        " embedding: {dim: 5, buckets: 7}}",
        "features.step={kind: numeric, bucketize: {quantiles: 9, dim: 2}}",
    )
    jobs = [model_jobs.small_job(), model_jobs.small_job(*made)]
    sources = [SimpleNamespace(layout=layout_of(job)) for job in jobs]
    plain, more = map(_values_of_a_row, jobs, sources)
    assert more - plain == 3 + 5 + 2


def test_batch_and_blocks(tmp_path):
    job = small_job(tmp_path, "training.batch_size=30", "training.shuffle_block=75")
    small_example_set(job)
    vocabularies, source = make_vocabularies(job, job.data.examples), source_of(job)
    # user 1, item 1, tags 3 and history 4 vectors of width 4; three copies of each.
    for devices, share in ((1, 30), (4, 8)):
        memory = memory_of(job, vocabularies, source, devices)
        assert memory.batch == share * 9 * 4 * 3 * 4
    wide = job.model.model_copy(update={"backbone": FactorizationMachine(name="fm")})
    job = job.model_copy(update={"model": wide})
    assert memory_of(job, vocabularies, source, 1).batch == 30 * 9 * (4 + 1) * 3 * 4
    experts = f"model.backbone={{name: experts, {EXPERTS}}}"
    sets = small_job(tmp_path, "training.batch_size=30", experts)
    assert memory_of(sets, vocabularies, source, 1).batch == 30 * 9 * (4 + 3) * 3 * 4
    dense = small_job(
        tmp_path,
        "training.batch_size=30",
        "training.optimizer.embeddings.name=adam",
    )
    more = memory_of(dense, vocabularies, source, 4)
    assert more.batch - memory.batch == more.start // 2 > 0
    size = sum(shard.bytes for shard in source.split.shards)
    assert memory.input == int(4 * 75 * size / 150)


def test_what_does_not_fit_is_refused_with_the_arithmetic(tmp_path):
    job = small_job(tmp_path)
    small_example_set(job)
    memory = memory_of(
        job, make_vocabularies(job, job.data.examples), source_of(job), 2
    )
    need = 2 * memory.device + memory.input
    assert "memory on each of 2 device(s)" in check_memory(
        memory, copies=2, host=need, gpus=[]
    )
    with pytest.raises(TrainingError, match=r"needs .* MiB = 2 x .* are free here"):
        check_memory(memory, copies=2, host=need - 1, gpus=[])
    # On GPUs the host holds only the examples.
    check_memory(memory, copies=2, host=memory.input, gpus=[memory.device] * 2)
    with pytest.raises(TrainingError, match=r"a GPU has .* MiB free"):
        check_memory(memory, copies=2, host=None, gpus=[99 * MIB, memory.device - 1])
    check_memory(memory, copies=2, host=None, gpus=[])


def test_training_refuses_before_it_makes_anything(tmp_path):
    job = small_job(tmp_path, "features.user.embedding.buckets=9000000000000")
    small_example_set(job)
    with pytest.raises(TrainingError, match=r"does not fit: .*9,000,000,000,0"):
        train(job)
    assert not (tmp_path / "run").exists()


def write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_free_memory_is_the_least_of_machine_and_container(tmp_path):
    assert free_on_host(tmp_path) is None
    meminfo = "MemTotal: 9000 kB\nMemAvailable:    5000 kB\n"
    write(tmp_path, proc__meminfo=meminfo)
    assert free_on_host(tmp_path) == 5_000 * 1024
    group = "sys__fs__cgroup__memory_DOT_"
    limits = {
        f"{group}current": "900000",
        f"{group}stat": "anon 1\ninactive_file 500\n",
    }
    write(tmp_path, **limits, **{f"{group}max": "max\n"})
    assert free_on_host(tmp_path) == 5_000 * 1024
    write(tmp_path, **{f"{group}max": "1000000\n"})
    assert free_on_host(tmp_path) == 100_500


def test_no_gpu_is_asked_about_where_none_is_trained_on():
    assert free_on_gpus(0) == []
    assert (free_on_host() or 0) > 0
