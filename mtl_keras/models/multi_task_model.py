"""MultiTaskModel: a functional Keras model with named outputs, trained by ordinary compile and fit."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mtl_keras import weightings
from mtl_keras.distribute.refusals import check_compile, check_scope
from mtl_keras.errors import message
from mtl_keras.gradients import replicas
from mtl_keras.graph import Graph
from mtl_keras.models.partition import Partition, check_sharing
from mtl_keras.models.running_model import RunningModel
from mtl_keras.models.setup import Setup
from mtl_keras.models.surgery import Surgery
from mtl_keras.optimizers import PerTask
from mtl_keras.registry import PACKAGE
from mtl_keras.tasks import Task, checked_names
from mtl_keras.training.clipping import check_clipping
from mtl_keras.training.compile_state import make_plan, plan_tasks
from mtl_keras.training.slots import parts_of


@keras.saving.register_keras_serializable(package=PACKAGE)
class MultiTaskModel(Surgery, RunningModel):
    """One graph with named outputs, whose tasks are balanced inside `compile` and `fit`.

    Args:
        inputs: `keras.Input`, or a list or dict of them.
        outputs: `{task name: tensor}`. Names as for `Task`.
        name: The model's name.
        tasks: One `Task` per output, for heads that bring loss and metrics; plain tasks by default.
        features: Names of the layers whose outputs are the cut between shared part and heads; found by default.
        preprocessing: What happens to the inputs inside the graph, for the manifest.

    Raises:
        ValueError: The outputs are no dict, or a task name cannot be used.

    Example:
        >>> import keras, mtl_keras as mtl
        >>> x = keras.Input((4,)); h = keras.layers.Dense(8, "relu")(x)
        >>> model = mtl.MultiTaskModel(x, {"age": keras.layers.Dense(1, name="age")(h),
        ...                                "sex": keras.layers.Dense(1, "sigmoid", name="sex")(h)})
        >>> model.compile("adam", loss={"age": "mse", "sex": "binary_crossentropy"}, weighting="uncertainty")
        >>> model.task_names
        ['age', 'sex']
    """

    # Keras saves and clones a functional subclass as such only with these positional arguments
    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        name: str | None = None,
        *,
        tasks: Sequence[Task] | None = None,
        features: Sequence[str] | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        if not isinstance(outputs, Mapping):
            raise ValueError(
                message(
                    "outputs as a dict of task names and tensors (other structures lose their names in exports)",
                    "pass outputs={'age': ..., 'sex': ...}",
                    outputs=type(outputs).__name__,
                )
            )
        names = checked_names(outputs)
        for task, output in outputs.items():
            if not keras.utils.is_keras_tensor(output):
                raise ValueError(
                    message(
                        "one Keras tensor as the output of every task",
                        "give each tensor a task name of its own",
                        task=task,
                        output=type(output).__name__,
                    )
                )
        tasks = [Task(n) for n in names] if tasks is None else list(tasks)
        if [task.name for task in tasks] != names:
            raise ValueError(
                message(
                    "one task per output, in the same order",
                    "pass both alike",
                    tasks=[t.name for t in tasks],
                    outputs=names,
                )
            )
        super().__init__(inputs, dict(outputs), name=name, **kwargs)
        # The weighting is a sublayer: its variables are trained, saved and restored with the model's. It sits in a list
        # because a list lets go of what is taken out, and an attribute does not.
        self._methods: list[weightings.Weighting] = []
        self._setup = Setup(tasks, None if features is None else list(features), dict(preprocessing or {}))

    @property
    def tasks(self) -> list[Task]:
        """The tasks, in output order."""
        return list(self._setup.tasks)

    @property
    def task_names(self) -> list[str]:
        """The tasks' names, in output order."""
        return [task.name for task in self._setup.tasks]

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What happens to the inputs inside the graph."""
        return dict(self._setup.preprocessing)

    @property
    def weighting(self) -> weightings.Weighting:
        """The method that balances the tasks, as `compile` set it."""
        return self.plan.weighting

    @property
    def graph(self) -> Graph:
        """The calls of the graph."""
        return self._setup.graph_of(self)

    @property
    def partition(self) -> Partition:
        """What the tasks share, what belongs to each of them, and the cut between."""
        return self._setup.partition_of(self)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Mapping[str, float] | None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        *,
        weighting: Any = "equal",
        scope: str = "parameters",
        head_gradients: str = "unweighted",
        class_weight: Mapping[str, Mapping[int, float]] | None = None,
        micro_batches: int = 1,
    ) -> None:
        """Set losses, metrics and the method that balances the tasks. Arguments before the `*` are as in Keras.

        Args:
            optimizer: As in Keras.
            loss: `{task: loss}`; `None` or `"auto"` for a task's own (its head's). Without a head, tasks that the dict
                leaves out are not trained. Each loss is the mean over the labels that exist in the global batch.
            loss_weights: `{task: number}`, applied before the weighting; default `Task.weight`.
            metrics: `{task: [metrics]}`; default the task's own. Missing labels are left out, sample weights unused.
            weighted_metrics: `{task: [metrics]}` that use the sample weights.
            run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: As in Keras.
            weighting: Name, config or instance, see `mtl_keras.weightings.names()`; default `"equal"`, stock Keras.
            scope: For methods that read gradients, where these are taken: `"parameters"` (default) of all shared
                variables, exact; `"features"` at the cut, at the cost of a plain step; `"last_layer"`.
            head_gradients: Whether the weights of a gradient method reach the heads' own variables:
                `"unweighted"` (default) or `"weighted"`.
            class_weight: `{task: {class id: weight}}` for training losses; default `Task.class_weight`.
            micro_batches: In how many parts, one after the other, the gradient of a batch is taken, default 1: the
                update of the whole batch with the memory of a part.

        Raises:
            ValueError: A key is no task's name, a loss or method does not fit, a task shares no layer with another
                output, or the graph has no clean cut and the method needs one.
        """
        method = weightings.get(weighting)
        given = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        check_scope(self)
        with self.distribute_strategy.scope():
            check_compile(self, steps_per_execution, jit_compile, parts_of(optimizer).values())
            check_clipping(optimizer)
            plans = plan_tasks(self.tasks, dict(self.output), loss, metrics, weighted_metrics, class_weight)
            check_sharing(self.graph, [plan.name for plan in plans])
            participation = self._setup.participation
            arguments = (method, scope, head_gradients, loss_weights, participation, micro_batches)
            plan = make_plan(self, self.tasks, plans, *arguments)
            keras_arguments = {
                "run_eagerly": run_eagerly,
                "steps_per_execution": steps_per_execution,
                "jit_compile": jit_compile,
                "auto_scale_loss": auto_scale_loss,
            }
            super().compile(optimizer=replicas.own_optimizer(optimizer), **keras_arguments)
            if method not in self._methods:
                self._methods.clear()
                self._methods.append(method)
            self._setup.plan = plan
            self._setup.keras_arguments = keras_arguments
            self._setup.compile_arguments = {
                **given,
                "weighting": method,
                "scope": scope,
                "head_gradients": head_gradients,
                "class_weight": class_weight,
                "micro_batches": micro_batches,
            }
            self._build_optimizer(method)
            self._setup.trainable = [variable.path for variable in self.trainable_variables]

    def _build_optimizer(self, method: weightings.Weighting) -> None:
        # at compile, so that nothing is left for the first batch to build, which fails under strategies
        if self.optimizer.built:
            return
        plain: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if isinstance(plain, PerTask):
            parts = self.partition
            plain.bind(parts.shared_variables, parts.task_variables, method.trainable_variables)
        if method.trainable_variables and hasattr(plain, "exclude_from_weight_decay"):
            plain.exclude_from_weight_decay(var_list=method.trainable_variables)
        self.optimizer.build(self.trainable_variables)

    # -- saving --------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        setup = self._setup
        serialized = [keras.saving.serialize_keras_object(task) for task in setup.tasks]
        own = {"tasks": serialized, "features": setup.features, "preprocessing": setup.preprocessing}
        return {**super().get_config(), **own, **({"frozen": setup.frozen} if setup.frozen else {})}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "MultiTaskModel":
        config = dict(config)
        config["tasks"] = [keras.saving.deserialize_keras_object(task, custom_objects) for task in config["tasks"]]
        frozen = config.pop("frozen", {})
        model = super().from_config(config, custom_objects)
        model._remember_frozen(frozen)
        return model

    def get_compile_config(self) -> dict[str, Any] | None:
        config = super().get_compile_config()
        if not config:
            return config
        arguments = dict(self._setup.compile_arguments)
        if arguments["class_weight"] is not None:
            # JSON has no integer keys
            pairs = {task: list(map(list, weights.items())) for task, weights in arguments["class_weight"].items()}
            arguments["class_weight"] = pairs
        return {**config, **keras.saving.serialize_keras_object(arguments)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        arguments = keras.saving.deserialize_keras_object(config)
        if arguments["class_weight"] is not None:
            arguments["class_weight"] = {task: dict(pairs) for task, pairs in arguments["class_weight"].items()}
        self.compile(**arguments)
