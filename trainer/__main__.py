"""Entry point of `python -m trainer` and of `pairstream-train`."""

from typing import NoReturn

from trainer.cli import main
from trainer.end_process import end_process

__all__ = ["run"]


def run() -> NoReturn:
    """Runs a command and ends the process with its exit status."""
    end_process(main())


if __name__ == "__main__":
    run()
