"""Inputs, sharing and tasks to a MultiTaskModel."""

import re
from collections.abc import Sequence
from typing import Any

from mtl_keras import sharing as sharings
from mtl_keras.errors import message
from mtl_keras.models.multi_task_model import MultiTaskModel
from mtl_keras.tasks import Task, checked_names


def build(inputs: Any, sharing: Any, tasks: Sequence[Task], name: str | None = None) -> MultiTaskModel:
    """Put a model together: inputs through the sharing's trunks to one head per task.

    Args:
        inputs: A `keras.Input`.
        sharing: How the tasks share trunks: a `sharing` instance, name or config, e.g. `sharing.Hard(trunks.Conv())`.
        tasks: Tasks with heads.
        name: The model's name.

    Returns:
        The model, not yet compiled; `compile("adam")` takes losses and metrics from the heads.

    Raises:
        ValueError: A task has no head, two tasks have the same name, or a task is named as an input or a layer.

    Example:
        >>> import keras, mtl_keras as mtl
        >>> tasks = [mtl.Task("left", mtl.heads.Classifier(10)), mtl.Task("right", mtl.heads.Classifier(10))]
        >>> model = mtl.build(keras.Input((36, 36, 1)), mtl.sharing.Hard(mtl.trunks.Conv((8, 16))), tasks)
        >>> {task: tuple(output.shape) for task, output in model.output.items()}
        {'left': (None, 10), 'right': (None, 10)}
    """
    for task in tasks:
        if not isinstance(task, Task):
            raise ValueError(message("tasks", "pass Task(name, head), e.g. heads.Classifier(10)", task=task))
    names = checked_names(task.name for task in tasks)
    for task in tasks:
        if task.head is None:
            raise ValueError(
                message("a head for every task", "pass Task(name, head), e.g. heads.Classifier(10)", task=task.name)
            )
    method = sharings.get(sharing)
    features = method(inputs, names)
    outputs = {task.name: task.head(features[task.name], task.name) for task in tasks}
    try:
        return MultiTaskModel(inputs, outputs, name=name, tasks=tasks, preprocessing=method.preprocessing())
    except ValueError as error:
        # Keras alone knows all the names in the graph, and says which one comes twice in this sentence only
        repeated = re.search(r'The name "(.+?)" is used \d+ times', str(error))
        if repeated is None:
            raise
        free = "task names that no input, layer of the trunk or layer of another head has"
        raise ValueError(message(free, "rename the task", layer=repeated[1], tasks=names)) from error
