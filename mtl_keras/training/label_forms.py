"""In which form labels and sample weights come, as far as a step that was traced for one form does not fit another."""

from collections.abc import Sequence
from typing import Any

import keras

from mtl_keras.training.data_checks import labels_by_task, weights_by_task
from mtl_keras.training.input_checks import shape_of
from mtl_keras.training.task_plan import TaskPlan

Form = tuple[int | None, int | None, int | None]


def label_forms(batch: Any, plans: list[TaskPlan], untrained: Sequence[str] = ()) -> dict[str, Form]:
    """By task: the axes of the labels, how many values they have where outputs have as many, the axes of the weights.

    Keras traces a step for labels of another form once more, with shapes relaxed until they fit both: class ids [B] and
    class probabilities [B, C] are then of any shape at all, and no head can tell them apart.

    Args:
        batch: `(x, y[, sample_weight])`, checked, as arrays or as specs of a dataset.
        plans, untrained: The trained tasks, and the names of the other outputs.
    """
    _, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    labels, weights = labels_by_task(y, plans, untrained), weights_by_task(sample_weight, plans, untrained)
    return {plan.name: _form(plan, labels[plan.name], weights.get(plan.name)) for plan in plans}


def _form(plan: TaskPlan, labels: Any, weights: Any) -> Form:
    shape = shape_of(labels)
    values = shape[-1] if shape.rank == plan.output_rank else None
    return shape.rank, values, None if weights is None else shape_of(weights).rank
