"""Whether too many records of a stream are dead.

A micro-batch may have ten records of which one is dead, and a stream may have had a
thousand million good ones before all turn bad. So the share is taken of the last
records of each log: about the last hundred thousand, and at least a thousand.
"""

import shutil
from collections import Counter
from pathlib import Path

from configs.errors import DataError
from configs.job import Job
from preprocessing.dead_letters import check_share
from preprocessing.fields import fields_by_log
from preprocessing.finishing import Summaries
from preprocessing.stream.state import Commit

__all__ = ["check_recent"]

_RECENT = 100_000
_ENOUGH = 1_000


def check_recent(
    job: Job, before: Commit | None, summaries: Summaries, folder: Path, keep: Path
) -> dict[str, tuple[float, float]]:
    """Checks that not too many records were dead lately.

    Args:
        job: says how many may be.
        before: what was counted until now.
        summaries: of this micro-batch.
        folder: of its set, with its dead letters.
        keep: folder to keep these in if it fails.

    Returns:
        Records and dead letters of each log lately.

    Raises:
        DataError: if there were too many.
    """
    found = {}
    read, dead = Counter[str](), Counter[str]()
    for log in fields_by_log(job):
        earlier = (0.0, 0.0) if before is None else before.recent.get(log, (0.0, 0.0))
        total = earlier[0] + summaries.counters[f"{log}.read"]
        bad = earlier[1] + sum(
            n for name, n in summaries.dead.items() if name.rpartition(".")[0] == log
        )
        if total >= _ENOUGH:
            read[f"{log}.read"] = int(total)
            own = {
                name: n
                for name, n in summaries.dead.items()
                if name.rpartition(".")[0] == log
            }
            dead.update(own)
            dead[f"{log}.earlier"] = int(bad) - sum(own.values())
        scale = min(1.0, _RECENT / max(total, 1.0))
        found[log] = (total * scale, bad * scale)
    try:
        share = job.preprocessing.dead_letters.max_share
        check_share(list(found), read, dead, share, folder / "dead_letters")
    except DataError as error:
        rejected = keep / "dead_letters"
        shutil.rmtree(rejected, ignore_errors=True)
        shutil.copytree(folder / "dead_letters", rejected)
        message = str(error).replace(str(folder / "dead_letters"), str(rejected))
        raise DataError(message) from None
    return found
