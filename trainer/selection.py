"""Which evaluation is the best, and when to stop."""

from configs.errors import JobError
from configs.job import Job
from trainer.checkpoint import Best, State

__all__ = ["after_evaluation", "check_selection", "should_stop"]

_HIGHER_IS_BETTER = {"auc": True, "gauc": True, "log_loss": False}


def check_selection(job: Job) -> None:
    """Checks that the metrics that decide can be computed.

    Raises:
        JobError: if the grouped AUC is asked for, and rows have no user.
    """
    stopping = job.training.early_stopping
    chosen = {"training.select_by": job.training.select_by}
    if stopping is not None:
        chosen["training.early_stopping.metric"] = stopping.metric
    for place, metric in chosen.items():
        if metric == "gauc" and job.ids.user is None:
            raise JobError(
                f"{place} is 'gauc', which groups rows by user, and the job has no"
                " ids.user: add it, or choose 'auc' or 'log_loss'"
            )


def after_evaluation(state: State, job: Job, metrics: dict[str, float | None]) -> State:
    """Returns the state after an evaluation at `state.step`.

    Args:
        state: before.
        job: the job.
        metrics: of the first task.
    """
    updates: dict[str, object] = {"evaluated": state.step}
    value = metrics[job.training.select_by]
    if value is not None and _better(
        job.training.select_by, value, None if state.best is None else state.best.value
    ):
        updates["best"] = Best(step=state.step, value=value)
    stopping = job.training.early_stopping
    if stopping is not None:
        value = metrics[stopping.metric]
        if value is not None and _better(
            stopping.metric, value, state.stopping_best, stopping.min_delta
        ):
            updates |= {"stopping_best": value, "without_improvement": 0}
        else:
            updates["without_improvement"] = state.without_improvement + 1
    return state.model_copy(update=updates)


def should_stop(state: State, job: Job) -> bool:
    """Returns whether early stopping has lost patience."""
    stopping = job.training.early_stopping
    return stopping is not None and state.without_improvement >= stopping.patience


def _better(
    metric: str, value: float, best: float | None, min_delta: float = 0.0
) -> bool:
    if best is None:
        return True
    if _HIGHER_IS_BETTER[metric]:
        return value > best + min_delta
    return value < best - min_delta
