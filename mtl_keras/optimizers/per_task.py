"""One optimizer for the shared variables, one for each task that wants its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.gradients import replicas
from mtl_keras.registry import PACKAGE

SHARED, WEIGHTING = "shared", "weighting"


def per_task(
    shared: Any = "adam",
    tasks: Mapping[str, Any] | None = None,
    weighting: Any = None,
    *,
    l1: Mapping[str, float] | None = None,
    l2: Mapping[str, float] | None = None,
    global_clipnorm: float | None = None,
) -> "PerTask":
    """An optimizer, and with it a learning rate and a schedule, for each task: `compile(optimizer=per_task(...))`.

    Which variables belong to whom is read from the model's partition when it is compiled.

    Args:
        shared: The optimizer of the variables that tasks share, and of the tasks that are not named: a Keras optimizer
            (name, config or instance), default `"adam"`.
        tasks: `{task: optimizer}` for the variables behind the cut that only this task uses. An object of its own each.
        weighting: The optimizer of the variables that the weighting trains, default `shared`. No weight decay there.
        l1, l2: `{"shared" or task: factor}`: the gradient of `l1 * sum |w| + l2 * sum w^2` is added for the kernels and
            embeddings (variables of two or more axes) of that part; tasks need no optimizer of their own for it.
            It never enters the balance of the tasks or the logged losses. Weight decay is an argument of the
            optimizers, `keras.optimizers.AdamW(weight_decay=...)`.
        global_clipnorm: The norm over the gradients of *all* variables and replicas that they are scaled down to
            together, default none. An optimizer's own `global_clipnorm` sees its own variables only.

    Returns:
        A `keras.optimizers.MultiOptimizer`, saved and restored with the model.

    Raises:
        ValueError: Two parts share an optimizer object, an optimizer is of a kind that cannot be a part, a number is
            out of range, or (by `compile`) a name is no task of the model.

    Example:
        >>> import mtl_keras as mtl
        >>> decay = keras.optimizers.schedules.CosineDecay(0.01, decay_steps=1000)
        >>> optimizer = mtl.optimizers.per_task("adam", {"age": keras.optimizers.SGD(decay)}, l2={"shared": 1e-4})
        >>> list(optimizer.parts)
        ['shared', 'age']

    A task without a label in a batch takes no part in it: its optimizer does not move either, so that its schedule
    counts the steps that the task has trained.
    """
    return PerTask(shared, tasks, weighting, l1, l2, global_clipnorm)


@keras.saving.register_keras_serializable(package=PACKAGE)
class PerTask(keras.optimizers.MultiOptimizer):
    """What `per_task` makes. Args as there."""

    def __init__(
        self,
        shared: Any = "adam",
        tasks: Mapping[str, Any] | None = None,
        weighting: Any = None,
        l1: Mapping[str, float] | None = None,
        l2: Mapping[str, float] | None = None,
        global_clipnorm: float | None = None,
        name: str = "per_task",
    ):
        if not isinstance(tasks, Mapping | None):
            raise ValueError(message("optimizers by task", "pass tasks={'age': 'sgd'}", tasks=tasks))
        given = {SHARED: shared, **(tasks or {}), **({} if weighting is None else {WEIGHTING: weighting})}
        parts = {part: _optimizer(part, optimizer) for part, optimizer in given.items()}
        _check_distinct(tasks or {}, parts)
        if global_clipnorm is not None and not 0 < global_clipnorm < float("inf"):
            raise ValueError(
                message("a norm above 0, or None", "pass global_clipnorm=1.0", global_clipnorm=global_clipnorm)
            )
        owners = keras.optimizers.OptimizerMap(parts[SHARED])
        super().__init__(owners, name=name)
        # every variable becomes a key of its own in `bind`, so that no pattern ever has to match
        self._owners = owners
        self._parts = parts
        self._norm = global_clipnorm
        self._l1, self._l2 = _factors("l1", l1), _factors("l2", l2)
        self._penalties: dict[str, tuple[float, float]] = {}

    @property
    def parts(self) -> dict[str, keras.optimizers.Optimizer]:
        """`{"shared", task or "weighting": optimizer}`."""
        return dict(self._parts)

    @property
    def named_tasks(self) -> list[str]:
        """The tasks that have an optimizer of their own."""
        return [part for part in self._parts if part not in (SHARED, WEIGHTING)]

    def bind(
        self,
        shared: Sequence[keras.Variable],
        tasks: Mapping[str, Sequence[keras.Variable]],
        weighting: Sequence[keras.Variable] = (),
    ) -> None:
        """Say whose variable is whose; called by `compile`, before the optimizer is built.

        Args:
            shared: Variables that tasks share.
            tasks: `{task: variables of this task alone}` for all tasks of the model.
            weighting: Variables that the weighting trains.
        """
        for what, names in (("tasks", self.named_tasks), ("l1", self._l1), ("l2", self._l2)):
            for part in names:
                if part not in tasks and not (part == SHARED and what != "tasks"):
                    raise ValueError(
                        message(f"names among the tasks {list(tasks)} in {what}", "correct the name", name=part)
                    )
        for part, variables in {SHARED: shared, **tasks, WEIGHTING: weighting}.items():
            penalty = (self._l1.get(part, 0.0), self._l2.get(part, 0.0))
            for variable in variables:
                self._owners[variable.path] = self._parts.get(part, self._parts[SHARED])
                if any(penalty) and len(variable.shape) > 1:
                    self._penalties[variable.path] = penalty

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """As in Keras, for every part."""
        for optimizer in self._parts.values():
            optimizer.exclude_from_weight_decay(var_list=var_list, var_names=var_names)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Apply gradients, also where some variables have none, which stock MultiOptimizer refuses."""
        if trainable_variables is None:
            raise ValueError(
                message("gradients with their variables", "call apply(grads, variables)", trainable_variables=None)
            )
        pairs = [(g, v) for g, v in zip(grads, trainable_variables, strict=True) if g is not None]
        pairs = self._clipped([(self._penalized(g, v), v) for g, v in pairs])
        moved: dict[int, list[tuple[Any, keras.Variable]]] = {}
        for gradient, variable in pairs:
            moved.setdefault(id(self._owners(variable)), []).append((gradient, variable))
        for optimizer in self._parts.values():
            if id(optimizer) in moved:
                optimizer.apply_gradients(moved[id(optimizer)])
        self.iterations.assign_add(1)

    def _penalized(self, gradient: Any, variable: keras.Variable) -> Any:
        """This replica's share of the gradient of loss and penalty."""
        l1, l2 = self._penalties.get(variable.path, (0.0, 0.0))
        if not (l1 or l2):
            return gradient
        value = tf.convert_to_tensor(variable.value)
        penalty = (l1 * tf.sign(value) + 2.0 * l2 * value) * self._loss_unit / replicas.count()
        return tf.convert_to_tensor(gradient) + tf.cast(penalty, gradient.dtype)

    def _clipped(self, pairs: list[tuple[Any, keras.Variable]]) -> list[tuple[Any, keras.Variable]]:
        if self._norm is None or not pairs:
            return pairs
        gradients = [tf.convert_to_tensor(gradient) for gradient, _ in pairs]
        norm = tf.linalg.global_norm([tf.cast(g, tf.float32) for g in replicas.total(gradients)])
        limit = self._norm * self._loss_unit
        factor = limit / tf.maximum(norm, limit)
        return [(g * tf.cast(factor, g.dtype), v) for g, (_, v) in zip(gradients, pairs, strict=True)]

    @property
    def _loss_unit(self) -> float:
        """What the gradients are multiplied by when they come in; the parts divide by it."""
        return 1.0 if self.loss_scale_factor is None else self.loss_scale_factor

    def with_tasks(self, names: Sequence[str], **added: Any) -> "PerTask":
        """A new, unbuilt optimizer with the same settings for other tasks.

        Args:
            names: The tasks that there are; others are dropped.
            **added: Optimizers of tasks that get one.
        """
        config = self.get_config()
        config["tasks"] = {task: part for task, part in config["tasks"].items() if task in names}
        config["tasks"] |= {task: keras.saving.serialize_keras_object(_optimizer(task, o)) for task, o in added.items()}
        for key in ("l1", "l2"):
            config[key] = {part: factor for part, factor in config[key].items() if part in (SHARED, *names)}
        return self.from_config(config)

    def get_config(self) -> dict[str, Any]:
        serialized = {part: keras.saving.serialize_keras_object(o) for part, o in self._parts.items()}
        return {
            "shared": serialized[SHARED],
            "tasks": {task: serialized[task] for task in self.named_tasks},
            "weighting": serialized.get(WEIGHTING),
            "l1": dict(self._l1),
            "l2": dict(self._l2),
            "global_clipnorm": self._norm,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "PerTask":
        def made(part: Any) -> Any:
            return keras.saving.deserialize_keras_object(part, custom_objects) if isinstance(part, dict) else part

        tasks = {task: made(part) for task, part in config["tasks"].items()}
        return cls(
            **{**config, "shared": made(config["shared"]), "tasks": tasks, "weighting": made(config["weighting"])}
        )


def _optimizer(part: str, optimizer: Any) -> keras.optimizers.Optimizer:
    made = keras.optimizers.get(optimizer)
    if made is None:
        raise ValueError(message("an optimizer for each part", "leave the part out, or pass 'sgd'", **{part: made}))
    if isinstance(made, (keras.optimizers.MultiOptimizer, keras.optimizers.LossScaleOptimizer)):
        raise ValueError(
            message(
                "a plain optimizer for each part (mixed_float16 puts loss scaling around all of them by itself)",
                "pass e.g. keras.optimizers.Adam(1e-3)",
                **{part: type(made).__name__},
            )
        )
    return made


def _check_distinct(tasks: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    for taken in (SHARED, WEIGHTING):
        if taken in tasks:
            raise ValueError(
                message(
                    f"task names other than {SHARED!r} and {WEIGHTING!r}, which name parts of the optimizer",
                    "rename the task, or pass the optimizer as the argument of that name",
                    tasks=list(tasks),
                )
            )
    owner: dict[int, str] = {}
    for part, optimizer in parts.items():
        if id(optimizer) in owner:
            raise ValueError(
                message(
                    "an optimizer object of its own for each part",
                    "make one for each; tasks that are not named share that of the trunk",
                    first=owner[id(optimizer)],
                    second=part,
                )
            )
        owner[id(optimizer)] = part


def _factors(name: str, factors: Mapping[str, float] | None) -> dict[str, float]:
    if not isinstance(factors, Mapping | None):
        raise ValueError(message(f"factors by part in {name}", "pass e.g. {'shared': 1e-4}", **{name: factors}))
    for part, factor in (factors or {}).items():
        if not isinstance(factor, (int, float)) or not 0 <= factor < float("inf"):
            raise ValueError(message(f"finite factors of at least 0 in {name}", "correct it", **{part: factor}))
    return {part: float(factor) for part, factor in (factors or {}).items()}
