"""What a MultiTaskModel knows beside its graph."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mtl_keras.graph import Graph, trace
from mtl_keras.models.partition import Partition, partition
from mtl_keras.tasks import Task
from mtl_keras.training.participation import Participation
from mtl_keras.training.step_plan import StepPlan
from mtl_keras.training.validation import Validation


class Setup:
    """What the model knows beside its graph; an object of its own, so that Keras does not track what is in it."""

    def __init__(self, tasks: list[Task], features: list[str] | None, preprocessing: dict[str, Any]):
        self.tasks = tasks
        self.features = features
        self.preprocessing = preprocessing
        self.plan: StepPlan | None = None
        self.compile_arguments: dict[str, Any] = {}
        self.keras_arguments: dict[str, Any] = {}  # those that are Keras' alone, but for the optimizer
        self.participation = Participation([task.name for task in tasks])
        self.trainable: list[str] = []  # paths of the variables that were so at compile
        self.frozen: dict[str, list[str]] = {}  # part: names of the layers that `freeze` stopped, see `surgery`
        self.forms: dict[bool, Any] = {}  # of the data that training (or not) last saw, see `label_forms`
        self.evaluating = False
        self.validation: Validation | None = None  # of the `fit` that runs; None outside of it
        self._graph: Graph | None = None
        self._partition: Partition | None = None

    def frozen_has_changed(self) -> None:
        """Let the frozen tasks, and no others, sit out."""
        self.participation.may_sit_out = {task.name for task in self.tasks if task.name in self.frozen}
        self.participation.reset(self.frozen)

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """While it lasts, the model's metrics and logs are those of an evaluation."""
        before, self.evaluating = self.evaluating, True
        try:
            yield
        finally:
            self.evaluating = before

    def graph_of(self, model: Any) -> Graph:
        if self._graph is None:
            self._graph = trace(model)
        return self._graph

    def partition_of(self, model: Any) -> Partition:
        if self._partition is None:
            self._partition = partition(model, self.features, self.graph_of(model))
        return self._partition
