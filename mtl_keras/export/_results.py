"""What a prediction says, by kind of task."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ClassResult:
    """One class out of several, ordered or not.

    Attributes:
        label: The most probable class.
        score: Its probability.
        top: The most probable few as (label, probability), best first.
        probabilities: `{label: probability}` of all, in the order of their ids.
    """

    label: str
    score: float
    top: list[tuple[str, float]]
    probabilities: dict[str, float]


@dataclass(frozen=True)
class LabelsResult:
    """Any number of labels.

    Attributes:
        labels: Those at or above their threshold.
        scores: `{label: probability}` of all.
    """

    labels: list[str]
    scores: dict[str, float]


@dataclass(frozen=True)
class ValueResult:
    """Values in the user's units: one number and its unit, or lists where the task has several."""

    value: float | list[float]
    unit: str | list[str]


@dataclass(frozen=True)
class ArrayResult:
    """An output that the manifest says nothing of."""

    values: np.ndarray


def read_output(about: Mapping[str, Any], values: np.ndarray, top: int) -> Any:
    """The result for one example.

    Args:
        about: The task's entry in the manifest; empty where there is none.
        values: The output without the batch axis.
        top: How many classes `ClassResult.top` lists.
    """
    kind = about.get("kind")
    if list(values.shape) != about.get("shape") or values.ndim != 1:
        return ArrayResult(values)
    if kind in ("classification", "ordinal"):
        probabilities = dict(zip(about["labels"], map(float, values), strict=True))
        best = sorted(probabilities.items(), key=lambda item: -item[1])[:top]
        return ClassResult(*best[0], best, probabilities)
    if kind == "multilabel":
        scores = dict(zip(about["labels"], map(float, values), strict=True))
        chosen = [label for label, limit in zip(scores, about["thresholds"], strict=True) if scores[label] >= limit]
        return LabelsResult(chosen, scores)
    if kind == "regression":
        numbers, units = [float(value) for value in values], list(about["units"])
        return ValueResult(numbers[0], units[0]) if len(numbers) == 1 else ValueResult(numbers, units)
    return ArrayResult(values)


def as_plain(result: Any) -> dict[str, Any]:
    """A result in JSON's types.

    Example:
        >>> as_plain(ValueResult(3.5, "EUR"))
        {'value': 3.5, 'unit': 'EUR'}
    """
    if isinstance(result, ArrayResult):
        return {"values": result.values.tolist()}
    return asdict(result)
