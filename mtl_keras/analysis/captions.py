"""One line of text that says what a model answers for a task, and what would have been right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Caption:
    """A line below a picture.

    Attributes:
        text: The line.
        right: Whether the answer is right; None where there is no label, or no right and wrong.
    """

    text: str
    right: bool | None = None


def answer_caption(
    task: str, described: Mapping[str, Any], output: np.ndarray, label: Any = None, weight: Any = 1.0
) -> Caption:
    """The caption of one task of one example.

    Args:
        task: The task's name.
        described: What its head's `describe()` gives.
        output: The model's output for the example, without the batch axis.
        label: The label as in batches, default none.
        weight: Its weights; 0 where the label is missing.

    Example:
        >>> about = {"kind": "classification", "labels": ["red", "green"]}
        >>> answer_caption("colour", about, np.array([0.2, 0.8]), 0)
        Caption(text='colour: green 80% (is red)', right=False)
    """
    kind = described.get("kind")
    known = label is not None and bool(np.any(np.asarray(weight) > 0))
    if kind in ("classification", "ordinal"):
        guess = int(np.argmax(output))
        text = f"{task}: {described['labels'][guess]} {output[guess]:.0%}"
        if not known:
            return Caption(text)
        truth = int(np.asarray(label).reshape(()))
        return Caption(text if guess == truth else f"{text} (is {described['labels'][truth]})", guess == truth)
    if kind == "multilabel":
        chosen = output >= np.asarray(described["thresholds"])
        text = f"{task}: {_names(described['labels'], chosen)}"
        if not known:
            return Caption(text)
        wanted, exists = np.asarray(label) >= 0.5, np.broadcast_to(np.asarray(weight) > 0, output.shape)
        right = bool((chosen == wanted)[exists].all())
        return Caption(text if right else f"{text} (is {_names(described['labels'], wanted & exists)})", right)
    if kind == "regression":
        text = f"{task}: {_values(output, described['units'])}"
        return Caption(f"{text} (is {_values(np.asarray(label).reshape(-1), described['units'])})" if known else text)
    return Caption(f"{task}: values {list(output.shape)}")


def _names(labels: list[str], chosen: np.ndarray) -> str:
    return ", ".join(label for label, there in zip(labels, chosen, strict=True) if there) or "none"


def _values(values: np.ndarray, units: list[str]) -> str:
    return ", ".join(f"{value:.4g} {unit}".strip() for value, unit in zip(values, units, strict=True))
