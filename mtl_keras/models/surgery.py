"""Tasks that come and go: parts of a model that stop training, tasks that are added and removed."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.models.carry_over import carry_optimizer, carry_weighting, optimizer_like, weighting_for
from mtl_keras.models.warm_start import LoadReport, load_everything
from mtl_keras.tasks import Task

TRUNK = "trunk"
_BY_TASK = ("loss", "loss_weights", "metrics", "weighted_metrics", "class_weight")


class Surgery(keras.Model):
    """The part of `MultiTaskModel` that changes which variables and which tasks train."""

    @property
    def frozen(self) -> list[str]:
        """The parts that `freeze` has stopped: `"trunk"` and tasks."""
        return list(self._setup.frozen)

    def freeze(self, *parts: str) -> None:
        """Stop training the trunk or tasks, and compile again; the optimizer keeps what it remembers of the others.

        A frozen part's layers are no longer trainable (batch normalization then uses its statistics and leaves them). A
        frozen task leaves the balance too: its loss is logged, but moves nothing. This is saved with the model.

        Args:
            *parts: `"trunk"` for what tasks share, or tasks for what is theirs alone.

        Raises:
            ValueError: There is no such part, nothing would be left to train, or the weighting reads gradients of the
                trunk, of which nothing is left. Then everything stays as it was.

        Example:
            >>> import keras, mtl_keras as mtl
            >>> tasks = [mtl.Task(name, mtl.heads.Classifier(3)) for name in ("age", "sex")]
            >>> model = mtl.build(keras.Input((8, 8, 1)), mtl.sharing.Hard(mtl.trunks.Conv((4,))), tasks)
            >>> model.compile("adam")
            >>> model.freeze("trunk", "age")
            >>> model.frozen, [v.path.split("/")[0] for v in model.trainable_variables]
            (['trunk', 'age'], ['sex_logits', 'sex_logits'])
            >>> model.unfreeze()
            >>> model.frozen
            []
        """
        layers = {part: self._layers_of(part) for part in parts}
        tasks = {*self.frozen, *parts} - {TRUNK}
        if tasks >= set(self.task_names):
            raise ValueError(message("at least one task that trains", "leave one out", frozen=[*self.frozen, *layers]))
        new = {part: dict(_trainable_leaves(layers[part])) for part in layers if part not in self._setup.frozen}
        for stopped in new.values():
            for layer in stopped.values():
                layer.trainable = False
        self._setup.frozen |= {part: list(stopped) for part, stopped in new.items()}
        try:
            if not any(layer.trainable_variables for layer in self.layers):
                raise ValueError(message("a variable that is left to train", "leave a part out", frozen=self.frozen))
            self._frozen_has_changed()
        except ValueError:
            for part, stopped in new.items():
                del self._setup.frozen[part]
                for layer in stopped.values():
                    layer.trainable = True
            self._setup.frozen_has_changed()
            raise

    def unfreeze(self, *parts: str) -> None:
        """Train parts again, and compile again; without arguments all that `freeze` has stopped.

        What `freeze` has stopped trains again. A part that was never frozen, but made with layers that do not train
        (a pretrained trunk), trains with all its layers. The optimizer begins anew with these variables.

        Args:
            *parts: As for `freeze`.

        Raises:
            ValueError: There is no such part.
        """
        layers = {part: self._layers_of(part) for part in parts or self.frozen}
        for part, own in layers.items():
            stopped = self._setup.frozen.pop(part, None)
            for layer in own if stopped is None else []:
                layer.trainable = True
            for name, layer in _leaves(own):
                if stopped is None or name in stopped:
                    layer.trainable = True
        self._frozen_has_changed()

    def let_sit_out(self, tasks: Iterable[str]) -> None:
        """Prepare the step for tasks that callbacks may take out of the balance while training runs."""
        participation = self._setup.participation
        if not participation.may_sit_out.issuperset(tasks):
            participation.may_sit_out.update(tasks)
            self.make_train_function(force=True)

    def _layers_of(self, part: str) -> list[keras.layers.Layer]:
        parts = self.partition
        known = {TRUNK: parts.shared_layers, **parts.task_layers}
        if not isinstance(part, str) or part not in known or TRUNK in self.task_names:
            do = "correct the name" if TRUNK not in self.task_names else "rename the task 'trunk'"
            raise ValueError(message(f"{TRUNK!r} or a task among {self.task_names}", do, part=part))
        if part == TRUNK and not known[TRUNK]:
            raise ValueError(
                message("layers with variables that tasks share", "freeze tasks", part=part, tasks=self.task_names)
            )
        return list(known[part])

    def _frozen_has_changed(self) -> None:
        setup = self._setup
        setup.frozen_has_changed()
        if setup.plan is not None:
            old = self.optimizer
            self.compile(optimizer_like(old, self.task_names), **setup.keras_arguments, **setup.compile_arguments)
            carry_optimizer(old, self.optimizer, self.weights)

    def _remember_frozen(self, frozen: dict[str, list[str]]) -> None:
        """Take over what was saved; Keras keeps the flag of a layer, but not inside of layers that train."""
        self._setup.frozen = {part: list(names) for part, names in frozen.items()}
        stopped = {name for names in frozen.values() for name in names}
        for name, layer in _leaves(self.layers):
            if name in stopped:
                layer.trainable = False
        self._frozen_has_changed()

    def add_task(self, task: Task, on: str = "cut", *, optimizer: Any = None, weighting: Any = None) -> Any:
        """A model with one more task, on the same layers: training either of them moves both.

        A compiled model gives a compiled one, with the optimizer's memory of all variables that both have. The
        weighting is made anew for the new number of tasks: what it trains or was told for each task comes along,
        running statistics begin anew.

        Args:
            task: A task with a head.
            on: `"cut"` (default) for the tensor that the heads read, or the name of a layer, whose output it reads.
            optimizer: The new task's own optimizer, where the model has one of `optimizers.per_task`.
            weighting: Another weighting; needed where the present one was told something about every single task.

        Returns:
            The new model. Use it instead of this one from now on.

        Raises:
            ValueError: The name is taken, the task has no head, the heads read several tensors and `on` names none of
                them, or there is no layer of that name.

        Example:
            >>> import keras, mtl_keras as mtl
            >>> tasks = [mtl.Task(name, mtl.heads.Classifier(3)) for name in ("age", "sex")]
            >>> model = mtl.build(keras.Input((8, 8, 1)), mtl.sharing.Hard(mtl.trunks.Conv((4,))), tasks)
            >>> larger = model.add_task(mtl.Task("height", mtl.heads.Regressor(mean=170.0, std=10.0)))
            >>> larger.task_names
            ['age', 'sex', 'height']
        """
        if task.head is None:
            raise ValueError(
                message("a task with a head", "pass Task(name, head), e.g. heads.Classifier(10)", task=task.name)
            )
        if task.name in self.task_names:
            raise ValueError(message(f"a task name other than {self.task_names}", "rename the task", task=task.name))
        features = self._tensor(on)
        with self.distribute_strategy.scope():
            outputs = {**self.graph.outputs, task.name: task.head(features, task.name)}
        added = {} if optimizer is None else {task.name: optimizer}
        return self._changed(outputs, [*self.tasks, task], task, added, weighting)

    def remove_task(self, task: str, *, weighting: Any = None) -> Any:
        """A model without a task, on the same layers; compiled again as by `add_task`.

        Args:
            task: The task that goes.
            weighting: Another weighting.

        Returns:
            The new model.

        Raises:
            ValueError: There is no such task, or no other one.
        """
        if task not in self.task_names or len(self.task_names) == 1:
            raise ValueError(message(f"one of several tasks, here {self.task_names}", "correct the name", task=task))
        outputs = {name: tensor for name, tensor in self.graph.outputs.items() if name != task}
        return self._changed(outputs, [kept for kept in self.tasks if kept.name != task], None, {}, weighting)

    def _tensor(self, on: str) -> Any:
        if on == "cut":
            parts = self.partition
            if len(parts.cut) == 1 and len(self.task_names) > 1:
                return parts.cut[0]
            known: list[str] = parts.cut_names if len(self.task_names) > 1 else []
            raise ValueError(
                message(
                    "a model whose heads all read one tensor, for a task on its cut",
                    "pass on= with the name of the layer whose output the task is to read",
                    cut=known,
                )
            )
        calls = [call for call in self.graph.calls if call.operation.name == on and len(call.outputs) == 1]
        if not calls:
            known = list(dict.fromkeys(call.operation.name for call in self.graph.calls))
            raise ValueError(message("'cut' or the name of a layer of this model", f"choose among {known}", on=on))
        return calls[-1].outputs[0]

    def _changed(
        self, outputs: dict[str, Any], tasks: list[Task], added: Task | None, optimizers: dict[str, Any], weighting: Any
    ) -> Any:
        setup, names = self._setup, [task.name for task in tasks]
        with self.distribute_strategy.scope():
            model: Any = type(self)(
                self.input,
                outputs,
                name=self.name,
                tasks=tasks,
                features=setup.features,
                preprocessing=setup.preprocessing,
            )
            model._remember_frozen({part: layers for part, layers in setup.frozen.items() if part in (TRUNK, *names)})
            if setup.plan is None:
                return model
            trained = [name for name in names if name in setup.plan.names or (added and name == added.name)]
            method = weighting_for(self.weighting, trained, added) if weighting is None else weighting
            optimizer = optimizer_like(self.optimizer, names, optimizers)
            arguments = {**_arguments_for(setup.compile_arguments, self.task_names, names), "weighting": method}
            model.compile(optimizer, **setup.keras_arguments, **arguments)
        if weighting is None:
            carry_weighting(self.weighting, model.weighting)
        carry_optimizer(self.optimizer, model.optimizer, [*model.weights, *self.weights])
        return model

    def warm_start(self, source: Any, optimizer: bool = True) -> LoadReport:
        """Load everything that fits from a file or model, matched by variable path.

        Args:
            source: A `.keras` file, or a Keras model.
            optimizer: Whether to take over what the source's optimizer remembers of the loaded variables (momentum and
                the number of steps, so that schedules go on), where it is of the same class. Learning rates stay.

        Returns:
            What was loaded, what was missing and what had another shape.

        Raises:
            ValueError: The file is no `.keras` file, or not one variable could be loaded.
        """
        report, other = load_everything(self, source, compiled=optimizer and self._setup.plan is not None)
        theirs = getattr(other, "optimizer", None)
        if optimizer and theirs is not None and self._setup.plan is not None:
            both = [*self.weights, *other.weights]
            report.remembered.extend(carry_optimizer(theirs, self.optimizer, both, set(report.loaded), settings=False))
        return report


def _arguments_for(arguments: dict[str, Any], before: list[str], names: list[str]) -> dict[str, Any]:
    """Arguments of `compile` for other tasks: added ones get their own loss and metrics."""
    changed = dict(arguments)
    for key in _BY_TASK:
        value = changed[key]
        if value is None or value == "auto":
            continue
        by_task = value if isinstance(value, dict) else dict.fromkeys(before, value)
        kept = {name: given for name, given in by_task.items() if name in names}
        changed[key] = {name: _metrics_like(given) for name, given in kept.items()} if "metrics" in key else kept
    return changed


def _metrics_like(given: Any) -> Any:
    """Metric objects of their own for another model."""
    if isinstance(given, (list, tuple)):
        return [_metrics_like(metric) for metric in given]
    return type(given).from_config(given.get_config()) if isinstance(given, keras.metrics.Metric) else given


def _leaves(layers: list[keras.layers.Layer], prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Every layer that has variables and holds no other layers, with its name inside of models and wrappers."""
    for layer in layers:
        name = f"{prefix}{layer.name}"
        inner = getattr(layer, "layers", None)
        if isinstance(inner, list):
            yield from _leaves(inner, f"{name}/")
        elif layer.variables:
            yield name, layer


def _trainable_leaves(layers: list[keras.layers.Layer]) -> Iterator[tuple[str, keras.layers.Layer]]:
    return ((name, layer) for name, layer in _leaves(layers) if layer.trainable_variables)
