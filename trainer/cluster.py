"""The worker processes of a training, as TF_CONFIG names them.

    TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
                "task": {"type": "worker", "index": 0}}'

Kubernetes operators write a task of type `chief` beside the workers; it is the first.
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from configs.errors import JobError

__all__ = ["ALONE", "VARIABLE", "Cluster", "cluster_from", "tf_config"]

VARIABLE = "TF_CONFIG"

_ADDRESS = re.compile(r".+:\d{1,5}")

_EXAMPLE = (
    'such as {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type":'
    ' "worker", "index": 0}}; `python -m trainer workers N JOB` starts workers on this'
    " machine and sets it"
)


class Cluster(BaseModel):
    """The workers of a training, this process among them.

    Attributes:
        addresses: host:port of each, in order; the first is the chief.
        index: of this worker.
    """

    model_config = ConfigDict(frozen=True)

    addresses: tuple[str, ...] = ("",)
    index: int = 0

    @property
    def workers(self) -> int:
        """The number of workers."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that writes."""
        return self.index == 0


ALONE = Cluster()
"""One worker, and no cluster."""


def cluster_from(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Reads TF_CONFIG.

    Raises:
        JobError: if it is absent or wrong, saying what was expected.
    """
    text = environment.get(VARIABLE)
    if not text:
        raise JobError(
            "training.strategy is 'multi_worker', and the environment variable"
            f" {VARIABLE} is not set: expected one on each worker, {_EXAMPLE}"
        )
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _wrong(f"is not JSON ({error})") from error
    if not isinstance(found, dict) or not isinstance(found.get("cluster"), dict):
        raise _wrong("has no 'cluster'")
    tasks = _tasks(found["cluster"])
    return Cluster(
        addresses=tuple(address for _, _, address in tasks),
        index=_index(found.get("task"), tasks),
    )


def tf_config(addresses: list[str], index: int) -> str:
    """Returns the value of TF_CONFIG for one worker."""
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def _tasks(cluster: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Returns type, index and address of all tasks, the chief first."""
    others = sorted(cluster.keys() - {"chief", "worker"})
    if others:
        raise _wrong(
            f"has tasks of the types {others}; all tasks train alike here (no parameter"
            " servers, no evaluators), so only 'worker', and one 'chief', can be"
        )
    tasks = []
    for kind in ("chief", "worker"):
        addresses = cluster.get(kind, [])
        if not isinstance(addresses, list) or not all(
            isinstance(a, str) and _ADDRESS.fullmatch(a) for a in addresses
        ):
            raise _wrong(
                f"has cluster.{kind} {addresses!r}, expected a list of 'host:port'"
            )
        tasks += [(kind, index, address) for index, address in enumerate(addresses)]
    if not tasks or sum(kind == "chief" for kind, _, _ in tasks) > 1:
        raise _wrong("names no worker, or more than one chief")
    if len({address for _, _, address in tasks}) != len(tasks):
        raise _wrong("names an address twice")
    return tasks


def _index(task: Any, tasks: list[tuple[str, int, str]]) -> int:
    known = [f"{kind} {index}" for kind, index, _ in tasks]
    if isinstance(task, dict):
        name = f"{task.get('type')} {task.get('index')}"
        if name in known:
            return known.index(name)
    raise _wrong(f"says that this is the task {task!r}, expected one of {known}")


def _wrong(what: str) -> JobError:
    return JobError(f"the environment variable {VARIABLE} {what}. Expected {_EXAMPLE}")
