"""Imports the modules with parts of one's own that whoever runs a command has named.

Never a job file: it may come from somewhere else, and lies beside every artifact.
"""

import importlib
import os
import re
from collections.abc import Iterable

from configs.errors import JobError

__all__ = ["ENVIRONMENT", "import_modules"]

ENVIRONMENT = "PAIRSTREAM_IMPORT"
"""Modules, with commas between; for containers, and for processes that ours start."""

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def import_modules(names: Iterable[str] = ()) -> None:
    """Imports modules, and has child processes do the same.

    Args:
        names: of `--import`, besides those of `PAIRSTREAM_IMPORT`.

    Raises:
        JobError: if there is no such module.
    """
    known = [n for n in os.environ.get(ENVIRONMENT, "").split(",") if n.strip()]
    modules = list(dict.fromkeys(n.strip() for n in [*known, *names]))
    for name in modules:
        _import(name)
    if modules:
        os.environ[ENVIRONMENT] = ",".join(modules)


def _import(name: str) -> None:
    if not _MODULE.fullmatch(name):
        raise JobError(
            f"--import {name}: expected the name of a module, such as my_package.towers"
        )
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        # One that the module itself misses is a defect there, with its traceback.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise JobError(
            f"--import {name}: there is no module {error.name!r}. Install its package"
            " in this environment, or name its folder in PYTHONPATH"
        ) from error
