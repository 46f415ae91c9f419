"""Task: the only place where a task is described."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from mtl_keras.errors import message
from mtl_keras.registry import PACKAGE

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@keras.saving.register_keras_serializable(package=PACKAGE)
class Task:
    """One named output with its loss and its metrics.

    Args:
        name: The output's name, in logs, labels, files and signatures alike. Letters, digits and `_`, beginning with a
            letter; not `loss`, not `overall`, and not beginning with `val_`, which logs use.
        head: Layers from features to the output, e.g. `heads.Classifier(10)`. It brings loss, metrics and their
            direction. `None` (default) for an output of a graph that exists already.
        loss: `"auto"` (default) for the head's loss, any Keras loss (name, instance or function), or `None` for an
            output that is not trained.
        metrics: `"auto"` (default) for the head's metrics, or a list of Keras metrics; the first one decides which
            model is best.
        weight: What the loss is multiplied by before any weighting method sees it, at least 0, default 1.0.
        class_weight: `{class id: weight}` applied to the training loss of classification tasks, default none.

    Raises:
        ValueError: The name cannot be used, the head is none, or a weight is negative.

    Example:
        >>> import mtl_keras as mtl
        >>> mtl.Task("colour", mtl.heads.Classifier(labels=["red", "green"]), weight=0.5)
        Task('colour', head=Classifier)
    """

    def __init__(
        self,
        name: str,
        head: Any = None,
        loss: Any = "auto",
        metrics: Any = "auto",
        weight: float = 1.0,
        class_weight: Mapping[int, float] | None = None,
    ):
        self.name = checked_name(name)
        if head is not None and (isinstance(head, type) or not callable(head) or not hasattr(head, "describe")):
            raise ValueError(
                message(f"a head for task {name!r}, or None", "pass an object, e.g. heads.Classifier(10)", head=head)
            )
        self.head: Any = head
        self.loss = loss
        self.metrics = metrics
        if not 0 <= weight < float("inf"):
            raise ValueError(message(f"a finite weight of at least 0 for task {name!r}", "correct it", weight=weight))
        self.weight = float(weight)
        self.class_weight = None if class_weight is None else checked_class_weight(name, class_weight)

    def __repr__(self) -> str:
        return f"Task({self.name!r}, head={type(self.head).__name__})"

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "head": serialize(self.head),
            "loss": serialize(self.loss),
            "metrics": serialize(self.metrics),
            "weight": self.weight,
            # JSON has no integer keys
            "class_weight": None if self.class_weight is None else [[k, v] for k, v in self.class_weight.items()],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Task":
        config = dict(config)
        for key in ("head", "loss", "metrics"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        if config["class_weight"] is not None:
            config["class_weight"] = dict(config["class_weight"])
        return cls(**config)


def checked_name(name: Any) -> str:
    """The name, if Keras, TensorBoard, SavedModel and LiteRT all keep it as it is."""
    if not isinstance(name, str) or not NAME.match(name):
        raise ValueError(
            message("a task name of letters, digits and '_' that begins with a letter", "rename the task", name=name)
        )
    if name in ("loss", "overall") or name.startswith("val_"):
        raise ValueError(
            message(
                "a task name that logs leave free (not 'loss', 'overall' or 'val_...')", "rename the task", name=name
            )
        )
    return name


def checked_names(names: Iterable[Any]) -> list[str]:
    """All names, each usable and no two alike, letter case aside (files and flags may not tell them apart)."""
    checked: list[str] = []
    for name in names:
        checked_name(name)
        for other in checked:
            if other.lower() == name.lower():
                raise ValueError(message("task names that differ", "rename one of them", first=other, second=name))
        checked.append(name)
    if not checked:
        raise ValueError(message("at least one task", "name the outputs in a dict", tasks=checked))
    return checked


def checked_class_weight(task: str, class_weight: Mapping[int, float]) -> dict[int, float]:
    """`{class id: weight}` with integer ids and finite weights of at least 0."""
    if not isinstance(class_weight, Mapping) or not class_weight:
        raise ValueError(
            message(f"class weights of task {task!r} as {{class id: weight}}", "pass a dict", class_weight=class_weight)
        )
    for label, weight in class_weight.items():
        numbers = all(isinstance(value, (int, float, np.number)) for value in (label, weight))
        if not numbers or int(label) != label or label < 0 or not 0 <= weight < float("inf"):
            raise ValueError(
                message(
                    f"class ids from 0 and finite weights of at least 0 for task {task!r}",
                    "correct the entry",
                    label=label,
                    weight=weight,
                )
            )
    return {int(label): float(weight) for label, weight in class_weight.items()}
