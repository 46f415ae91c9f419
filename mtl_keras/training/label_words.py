"""What is said of labels and sample weights, of arrays before training and of batches in the graph alike."""

import math
from typing import Any

from mtl_keras.training.task_plan import TaskPlan

NAMES = {"labels": "labels", "weights": "sample weights"}
CORRECT_WEIGHTS = "correct them; 0 leaves a label out"


def labels_in_range(plan: TaskPlan, labels: Any) -> str:
    assert plan.label_range is not None
    low, high = plan.label_range
    which = "that are whole numbers from" if are_ids(plan, labels) else "from"
    missing = "NaN" if math.isnan(plan.missing) else f"{plan.missing:g}"
    return f"labels of task {plan.name!r} {which} {low:g} to {high:g}, or {missing} where missing"


def correct_labels(plan: TaskPlan) -> str:
    if plan.class_ids:
        return "correct the labels, or give the head more classes"
    return "correct the labels" + (": 1 is yes and 0 is no" if plan.label_range == (0.0, 1.0) else "")


def finite_weights(task: str) -> str:
    return f"finite sample weights of at least 0 for task {task!r}"


def are_ids(plan: TaskPlan, labels: Any) -> bool:
    return plan.class_ids and not plan.are_probabilities(labels)
