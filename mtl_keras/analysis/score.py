"""One number over tasks whose metrics point in different directions."""

from collections.abc import Mapping
from typing import Any

from mtl_keras.errors import message

DIRECTIONS = ("max", "min")


def overall_score(
    values: Mapping[str, float], directions: Mapping[str, str], reference: Mapping[str, float] | None = None
) -> float:
    """The mean over tasks of how good each is; larger is better.

    `score = mean_k s_k`, with `s_k = M_k` where larger is better (accuracy, F1: between 0 and 1) and
    `s_k = 1 - M_k / R_k` where smaller is better (errors: 0 at the reference, 1 without error).

    Args:
        values: `{task: metric}`.
        directions: `{task: "max" | "min"}`.
        reference: `{task: R}` for tasks whose metric is an error: that of a baseline, or of a first epoch.

    Returns:
        The score. NaN where a metric is NaN.

    Raises:
        ValueError: A direction is unknown, or an error has no reference above 0.

    Example:
        >>> overall_score({"colour": 0.9, "price": 3.0}, {"colour": "max", "price": "min"}, {"price": 10.0})
        0.8
    """
    if not values:
        raise ValueError(message("at least one task", "pass {task: value}", values=dict(values)))
    scores = []
    for task, value in values.items():
        direction = directions.get(task)
        if direction not in DIRECTIONS:
            raise ValueError(
                message(f"a direction among {list(DIRECTIONS)}", "name one", task=task, direction=direction)
            )
        if direction == "max":
            scores.append(float(value))
            continue
        base = (reference or {}).get(task)
        if base is None or not base > 0:
            raise ValueError(
                message("a reference above 0 for every error", "pass a baseline's error", task=task, reference=base)
            )
        scores.append(1.0 - float(value) / float(base))
    return sum(scores) / len(scores)


def task_metrics(model: Any, logs: Mapping[str, float], prefix: str = "") -> dict[str, tuple[str, float, str]]:
    """`{task: (log key, value, direction)}`: the metric that decides for each task, from logs of `fit` or `evaluate`.

    Args:
        model: A compiled MultiTaskModel.
        logs: Logs by name.
        prefix: `"val_"` for validation logs, or none.
    """
    found = {}
    for plan in model.plan.tasks:
        metric, direction = plan.best
        key = f"{prefix}{plan.name}_{metric}"
        if key not in logs:
            raise ValueError(message(f"logs that hold {key!r}", "add the metric to compile", logs=sorted(logs)))
        found[plan.name] = (key, float(logs[key]), direction)
    return found


def score_logs(
    model: Any, logs: Mapping[str, float], reference: Mapping[str, float] | None = None
) -> tuple[dict[str, tuple[str, float, str]], float | None]:
    """The deciding metrics of logs, as `task_metrics` gives them, and the overall score.

    Args:
        model: A compiled MultiTaskModel.
        logs: Logs of `fit` or `evaluate` by name.
        reference: As for `overall_score`.

    Returns:
        The metrics, and the score or None where an error has no reference.
    """
    found = task_metrics(model, logs)
    directions = {task: direction for task, (_, _, direction) in found.items()}
    if any(direction == "min" and task not in (reference or {}) for task, direction in directions.items()):
        return found, None
    return found, overall_score({task: value for task, (_, value, _) in found.items()}, directions, reference)
