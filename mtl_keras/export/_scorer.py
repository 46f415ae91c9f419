"""The metrics of a model, computed from outputs that something else gave."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.analysis import task_metrics
from mtl_keras.errors import message
from mtl_keras.models import MultiTaskModel
from mtl_keras.training.data_checks import labels_by_task
from mtl_keras.training.graph_errors import readable


class Scorer:
    """Takes in outputs and labels batch by batch and gives each task's deciding metric, for several sources of outputs.

    It is a MultiTaskModel that only passes its inputs on, compiled as the model is: missing labels, sample weights and
    label checks are those of `evaluate`.

    Args:
        model: A compiled MultiTaskModel.

    Raises:
        ValueError: The model is none, is not compiled, or a task has no metric that outputs alone can tell.
    """

    def __init__(self, model: Any):
        config = model.get_compile_config() if isinstance(model, MultiTaskModel) else None
        if not config:
            raise ValueError(
                message(
                    "a compiled MultiTaskModel, whose metrics say what a task loses",
                    "build it as mtl_keras.MultiTaskModel and compile it",
                    model=type(model).__name__,
                    compiled=bool(getattr(model, "compiled", False)),
                )
            )
        for plan in model.plan.tasks:
            if plan.best[0] == "loss" and plan.reads_last_input:
                raise ValueError(
                    message(
                        f"a metric for task {plan.name!r} (its loss reads more than the output)",
                        "add one in compile(metrics={...})",
                        metrics=[],
                    )
                )
        given = {
            task: keras.Input(batch_shape=tensor.shape, name=f"{task}_given") for task, tensor in model.output.items()
        }
        same = keras.layers.Identity(dtype="float32")  # one for all: tasks have to share something
        passed = {task: same(tensor) for task, tensor in given.items()}
        self._model = MultiTaskModel(list(given.values()), passed, tasks=model.tasks)
        # there is nothing to train: methods and optimizers that look for shared variables would find none
        untrained = {"weighting": "equal", "scope": "parameters", "head_gradients": "unweighted", "optimizer": "sgd"}
        self._model.compile_from_config({**config, **untrained})
        # without AutoGraph, as Keras runs it: to convert a step takes longer than to measure a small file
        self._step = tf.function(self._model.test_step, reduce_retracing=True, autograph=False)
        self._logs: dict[str, dict[str, float]] = {}
        self._states: dict[str, list[np.ndarray]] = {}

    def add(
        self, source: str, outputs: Mapping[str, Any], labels: Mapping[str, Any], weights: Mapping[str, Any]
    ) -> None:
        """Take in a batch of outputs that came from `source`; each source has its own metrics."""
        variables = [variable for metric in self._model.metrics for variable in metric.variables]
        if source in self._states:
            for variable, value in zip(variables, self._states[source], strict=True):
                variable.assign(value)
        else:
            self._model.reset_metrics()
        given = [outputs[task] for task in self._model.task_names]
        untrained = [task for task in self._model.task_names if task not in self._model.plan.names]
        known = labels_by_task(dict(labels), self._model.plan.tasks, untrained)
        with readable():
            # not test_on_batch, which forgets the batches before
            logs = self._step((given, known, dict(weights) or None))
        self._logs[source] = {key: float(value) for key, value in logs.items()}
        self._states[source] = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]

    def result(self, source: str) -> dict[str, tuple[str, float, str]]:
        """`{task: (metric, value, "max" or "min")}` over all batches of a source."""
        found = task_metrics(self._model, self._logs[source])
        return {task: (key.removeprefix(f"{task}_"), float(value), best) for task, (key, value, best) in found.items()}
