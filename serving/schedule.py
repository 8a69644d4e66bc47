"""When the next version may be made: a pure function of what was decided before."""

from collections.abc import Sequence

from configs.durations import duration_ms
from configs.stream import Publish
from serving.decisions import Decision
from serving.run_folder import Checkpoint

__all__ = ["is_decided", "is_due"]

_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 3_600.0
"""After exports that failed: a full disk is not made emptier by trying again."""


def is_decided(decisions: Sequence[Decision], checkpoint: Checkpoint) -> bool:
    """Returns whether a checkpoint was published or rejected already."""
    return any(
        decision.checkpoint == checkpoint.digest
        and decision.action in ("published", "rejected", "found")
        for decision in decisions
    )


def is_due(
    decisions: Sequence[Decision],
    checkpoint: Checkpoint,
    settings: Publish,
    time: float,
) -> bool:
    """Returns whether it is time for another version.

    Args:
        decisions: made so far, in order.
        checkpoint: the candidate.
        settings: of the job.
        time: now, in seconds since the epoch.
    """
    failures = 0
    for decision in reversed(decisions):
        if decision.action == "failed":
            failures += 1
            if failures == 1:
                failed = decision.moment
        elif decision.action in ("published", "found"):
            break
    if failures:
        pause = min(_PAUSE_SECONDS * 2.0 ** (failures - 1), _LONGEST_PAUSE_SECONDS)
        if 0 <= time - failed < pause:
            return False
    made = [d for d in decisions if d.action in ("published", "found")]
    if not made:
        return True
    last = made[-1]
    if 0 <= time - last.moment < duration_ms(settings.every) / 1_000:
        return False
    if settings.rows is None or checkpoint.rows is None or last.rows is None:
        return True
    # Fewer rows than before: another run, or one that went back.
    return not 0 <= checkpoint.rows - last.rows < settings.rows
