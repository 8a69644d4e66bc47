"""The commands: errors are messages, and earlier outputs stay."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.errors import EXIT_CODE
from configs.loading import dump_job
from preprocessing.cli import main
from tests.preprocessing.making_jobs import (
    impression,
    random_logs,
    small_job,
    write_lines,
    write_logs,
)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    write_logs(tmp_path, random_logs(1))
    path = tmp_path / "job.yaml"
    path.write_text(dump_job(small_job(tmp_path)))
    return path


def _fails(capsys: Any, *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == EXIT_CODE
    error: str = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_run_check_and_damage(job_file: Path, capsys: Any) -> None:
    assert main(["run", str(job_file)]) == 0
    printed = capsys.readouterr().out
    assert "impressions" in printed and "joined" in printed and "train" in printed
    examples = job_file.parent / "examples"
    assert main(["check", str(examples)]) == 0
    manifest = (examples / "manifest.json").read_bytes()

    assert "--overwrite" in _fails(capsys, "run", job_file)
    assert "no file matches" in _fails(
        capsys, "run", job_file, "--overwrite", "--set", "data.impressions=none.jsonl"
    )
    assert (examples / "manifest.json").read_bytes() == manifest
    left = {path.name for path in job_file.parent.iterdir()}
    assert not [name for name in left if name.startswith(".")]  # no scratch left

    shard = next(examples.glob("train/*.tfrecord"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    assert "bytes" in _fails(capsys, "check", examples)
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "SHA-256" in _fails(capsys, "check", examples)
    shard.unlink()
    assert "missing" in _fails(capsys, "check", examples)
    assert "not an example set" in _fails(capsys, "check", job_file.parent)


def test_too_many_dead_letters_fail_and_are_kept(job_file: Path, capsys: Any) -> None:
    root = job_file.parent
    lines = (root / "impressions.jsonl").read_text().splitlines()
    (root / "impressions.jsonl").write_text("\n".join([*lines, "garbage", "{"]) + "\n")
    threshold = "preprocessing.dead_letters.max_share=0.001"
    error = _fails(capsys, "run", job_file, "--set", threshold)
    assert "2 of 142 records" in error and "unparsable: 2" in error
    assert not (root / "examples").exists()
    [letters] = root.glob("examples.dead_letters/impressions.unparsable.jsonl")
    records = [json.loads(line)["record"] for line in letters.open()]
    assert sorted(records) == ["garbage", "{"]


def test_a_truncated_file_is_named(job_file: Path, capsys: Any) -> None:
    import gzip

    root = job_file.parent
    content = (root / "clicks.jsonl").read_bytes()
    (root / "clicks.jsonl.gz").write_bytes(gzip.compress(content)[:-10])
    override = f"data.events.click.path={root}/clicks.jsonl.gz"
    error = _fails(capsys, "run", job_file, "--set", override)
    assert "clicks.jsonl.gz is not a whole gzip file" in error


def test_a_file_that_breaks_midway_is_named(job_file: Path, capsys: Any) -> None:
    """The damage lies behind what is looked at first, so a stage finds it."""
    import gzip

    root = job_file.parent
    records = [
        impression(n, n, tags=[f"{n * 7919 % 10007}"] * 20) for n in range(40_000)
    ]
    write_lines(root / "long.jsonl", records)
    content = gzip.compress((root / "long.jsonl").read_bytes(), 1)
    (root / "long.jsonl.gz").write_bytes(content[:-10])
    override = f"data.impressions.path={root}/long.jsonl.gz"
    error = _fails(capsys, "run", job_file, "--set", override)
    assert "long.jsonl.gz is not a whole gzip file" in error


def test_labels_that_are_all_0_are_warned_about(job_file: Path, capsys: Any) -> None:
    root = job_file.parent
    write_lines(
        root / "clicks.jsonl", [{"click": "c", "impression": "x", "time": 9999}]
    )
    assert main(["run", str(job_file)]) == 0
    error = capsys.readouterr().err
    assert "warning: label 'click' is 0 in all" in error


def test_logs_without_a_closed_impression_fail(job_file: Path, capsys: Any) -> None:
    error = _fails(capsys, "run", job_file, "--set", "labels.conversion.window=9d")
    assert "no impression became an example" in error and "withheld" in error


def test_unknown_arguments_of_check_are_refused(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["check", "folder", "--fast"])
    assert "--fast" in capsys.readouterr().err


def test_an_unknown_option_is_refused(job_file: Path, capsys: Any) -> None:
    error = _fails(capsys, "run", job_file, "--block-mebibyte=4")
    assert "unknown option --block-mebibyte" in error.replace("_", "-")
    assert not (job_file.parent / "examples").exists()
    assert main(["run", str(job_file), "--direct_num_workers=1"]) == 0


def test_an_unknown_runner_is_refused(job_file: Path, capsys: Any) -> None:
    assert "FastRunner" in _fails(capsys, "run", job_file, "--runner", "FastRunner")
    assert not (job_file.parent / "examples").exists()


@pytest.mark.parametrize("place", ["{root}", "{root}/logs"])
def test_overwriting_spares_what_is_no_example_set(
    job_file: Path, capsys: Any, place: str
) -> None:
    root = job_file.parent
    (root / "logs").mkdir()
    (root / "logs" / "precious").write_text("logs")
    examples = "data.examples=" + place.format(root=root)
    error = _fails(capsys, "run", job_file, "--overwrite", "--set", examples)
    assert "holds other files" in error and "no manifest.json" in error
    assert (root / "logs" / "precious").read_text() == "logs"


def test_a_place_that_cannot_be_written_is_named(job_file: Path, capsys: Any) -> None:
    root = job_file.parent
    (root / "file").write_text("x")
    for place in (f"{root}/file/examples", f"{root}/{'n' * 300}"):
        error = _fails(capsys, "run", job_file, "--set", f"data.examples={place}")
        assert "cannot be read or written" in error and "[Errno" in error


def test_a_disk_that_is_full_midway_is_named(
    job_file: Path, project_root: Path
) -> None:
    """A limit on the size of files stands in for the disk."""
    program = (
        "import resource, signal, sys\n"
        "from preprocessing.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "sys.exit(main(['run', sys.argv[1]]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(job_file)],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == EXIT_CODE, ended.stderr
    assert "error: a file cannot be read or written" in ended.stderr
    assert "Traceback" not in ended.stderr
    left = {path.name for path in job_file.parent.iterdir()}
    assert "examples" not in left and not [n for n in left if n.startswith(".")]


def test_times_in_another_unit_are_warned_about(job_file: Path, capsys: Any) -> None:
    root = job_file.parent
    seconds = 1_700_000_000
    records = [impression(n, seconds + n) for n in range(1000)]
    write_lines(root / "impressions.jsonl", records)
    write_lines(
        root / "clicks.jsonl",
        [{"click": "c", "impression": "i1", "time": seconds + 1000}],
    )
    assert main(["run", str(job_file)]) == 0
    assert "look like another unit: set ids.time.unit" in capsys.readouterr().err


def test_an_object_store_is_no_place_to_write(job_file: Path, capsys: Any) -> None:
    where = "data.examples=s3://logs/examples"
    error = _fails(capsys, "run", job_file, "--set", where)
    assert "s3://logs/examples is on no local disk" in error
