"""A readable table of metrics, with what each of them means."""

from typing import Any

from trainer.metrics.task import DEFINITIONS

__all__ = ["metrics_table"]


def metrics_table(metrics: dict[str, Any], *, title: str) -> str:
    """Returns the metrics of all tasks as text.

    Args:
        metrics: by task, as `trainer.scoring.score_split` returns them.
        title: first line.
    """
    lines = [title]
    for task, values in metrics.items():
        truth, distance = values.get("truth"), values.get("distance")
        lines += ["", f"{task}, {values['rows']:,} rows"]
        heads = ["", "model"]
        if truth:
            heads += ["best reachable", "distance"]
        lines.append(_line(heads))
        for name in DEFINITIONS:
            cells = [name, _number(values.get(name))]
            if truth:
                cells.append(_number(truth.get(name)))
                cells.append(_number((distance or {}).get(name)))
            lines.append(_line(cells))
        lines += _notes(values)
    lines += ["", "where"]
    lines += [f"  {name}: {text}" for name, text in DEFINITIONS.items()]
    return "\n".join(lines)


def _notes(values: dict[str, Any]) -> list[str]:
    notes = []
    if values.get("auc_error_bound") is not None:
        notes.append(f"  auc_error_bound {values['auc_error_bound']:.1e}")
    if values.get("gauc_users"):
        notes.append(
            f"  gauc rests on {values['gauc_users']:,} users with"
            f" {values['gauc_impression_share']:.1%} of the impressions;"
            f" {values['gauc_users_left_out']:,} users have labels of one kind only"
        )
    notes += [
        f"  {name} is undefined: {reason}"
        for name, reason in values["undefined"].items()
    ]
    return notes


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"


def _line(cells: list[str]) -> str:
    first, *others = cells
    return f"  {first:<20}" + "".join(f"{cell:>16}" for cell in others)
