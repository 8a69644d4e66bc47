import argparse

import pytest

from configs.command import add_job_arguments, job_from, run_command
from configs.errors import DataError, JobError


def test_success_is_zero():
    assert run_command(lambda: None) == 0
    assert run_command(lambda: 3) == 3


def test_a_mendable_error_prints_its_message_alone(capsys):
    def fail():
        raise DataError("x has 3 rows, expected 4: run preprocessing again")

    assert run_command(fail) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: x has 3 rows, expected 4: run preprocessing again\n"


def test_a_defect_keeps_its_traceback():
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(fail)


def test_interrupt(capsys):
    def fail():
        raise KeyboardInterrupt

    assert run_command(fail) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_the_job_is_named_by_path_and_overrides(tmp_path):
    parser = argparse.ArgumentParser()
    add_job_arguments(parser)
    missing = str(tmp_path / "none.yaml")
    arguments = parser.parse_args([missing, "--set", "a.b=1", "--set", "c=2"])
    assert arguments.overrides == ["a.b=1", "c=2"]
    with pytest.raises(JobError, match=r"none\.yaml"):
        job_from(arguments)
