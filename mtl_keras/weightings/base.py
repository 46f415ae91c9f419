"""What a weighting is: float32 state and one call that combines the tasks' losses or gradients.

A weighting knows no model, no tape and no strategy. The training step gives it what its class attributes ask for:

| attribute            | meaning |
|----------------------|---------|
| `reads`              | what `call` gets beside the losses: `"losses"`, `"gramian"` or `"jacobian"` |
| `scopes`             | where its gradients may be taken; empty for methods that read losses only |
| `needs_losses`       | `combine` has to be given losses |
| `positive_losses`    | it takes a logarithm or a quotient of losses: they must stay above 0 |
| `second_forward`     | it wants `after_step(losses, new_losses, present)`: the losses of the same batch afterwards |
| `cross_gramian`      | `gramian` is J1 J2' of two halves of the batch instead of J J' |
| `validation_batches` | it wants `look_ahead(gains_of, present)` before every step, see `AutoLambda` |
"""

import warnings
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.registry import Registry

SCOPES = ("parameters", "features", "last_layer")


@dataclass(frozen=True)
class TaskInfo:
    """What a weighting may know of a task: its name, its kind and, where fixed, its weight.

    `kind` is the head's kind (`"classification"`, `"regression"`, ...); `"classification"` where nothing tells.
    """

    name: str
    kind: str = "classification"


class Weighting(keras.layers.Layer):
    """Base of all weightings. Subclass one of the three below instead.

    State is made in `create_state` with `add_state` and lives in float32 variables, so that it is saved in `.keras`
    files and checkpoints. Nothing that changes during training may live in a Python attribute.
    """

    reads = "losses"
    scopes: tuple[str, ...] = ()
    needs_losses = False  # whether `combine` has to be given losses
    positive_losses = False
    second_forward = False
    cross_gramian = False
    validation_batches = False
    registered_name: str | None = None
    paper = ""  # "Author et al., Title, venue year"
    cost = ""  # in units of a plain training step, e.g. "one backward"

    def __init__(self, name: str | None = None, **kwargs: Any):
        # float32 whatever the global policy says: weights and logarithms of losses do not survive float16
        kwargs.pop("dtype", None)
        super().__init__(name=name or type(self).registered_name, dtype="float32", autocast=False, **kwargs)
        self.tasks: tuple[TaskInfo, ...] = ()
        self._initial: dict[str, np.ndarray] = {}

    # -- life cycle ----------------------------------------------------------------------------------------------

    def bind(self, tasks: list[TaskInfo] | list[str] | int, gradient_size: int | None = None) -> "Weighting":
        """Make the state for these tasks; called once by `compile`, or by hand for study.

        Args:
            tasks: The tasks in the model's output order; names or a bare count serve too.
            gradient_size: P, the number of shared parameters, for methods whose state is [K, P].

        Returns:
            The weighting itself.
        """
        if isinstance(tasks, int):
            tasks = [f"task{i}" for i in range(tasks)]
        infos = tuple(TaskInfo(t) if isinstance(t, str) else t for t in tasks)
        if self.built:
            if tuple(t.name for t in infos) != tuple(t.name for t in self.tasks):
                raise ValueError(
                    message(
                        "a weighting that belongs to these tasks",
                        "make a new one for this model",
                        bound_to=[t.name for t in self.tasks],
                        tasks=[t.name for t in infos],
                    )
                )
            return self
        self.tasks = infos
        self.gradient_size = gradient_size
        self.build((len(infos),))
        return self

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.create_state(input_shape[0])
        self.built = True

    def create_state(self, num_tasks: int) -> None:
        """Make the variables with `add_state` (or `add_weight` for trained ones); none by default."""

    def add_state(
        self, name: str, shape: tuple[int, ...], value: Any = 0.0, dtype: str = "float32", trainable: bool = False
    ) -> keras.Variable:
        """A variable of the method, with the value (number or array) that `reset` returns to.

        With `trainable=True` the model's optimizer trains it; otherwise only the method itself assigns to it, with the
        same value on every replica.
        """
        initial = np.broadcast_to(np.asarray(value, dtype=dtype), shape)
        self._initial[name] = initial
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=lambda shape, dtype=None: tf.constant(initial, dtype=dtype),
            trainable=trainable,
            dtype=dtype,
            autocast=False,
            aggregation="none" if trainable else "only_first_replica",
        )

    @property
    def own_variables(self) -> list[keras.Variable]:
        """The state, without that of weightings inside."""
        return list(self.variables)

    def reset(self) -> None:
        """Return every state variable to its first value, as if newly made."""
        for variable in self.own_variables:
            variable.assign(self._initial[variable.name])

    # -- what training asks --------------------------------------------------------------------------------------

    def penalty(self, present: tf.Tensor) -> tf.Tensor | None:
        """A scalar added to the total loss for trained weights (the `+ s/2` of uncertainty weighting), or None."""
        return None

    def loss_factors(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor | None:
        """What scales the losses before their gradients are read, [K], see `Composed`; None where nothing does.

        No state moves. Called before `call`, on the same losses [K]; gradients flow into trained variables.
        """
        return None

    def begin_epoch(self, epoch: int) -> None:
        """Called in Python at the start of each training epoch; methods with epoch windows move them here."""

    def after_step(self, losses: tf.Tensor, new_losses: tf.Tensor, present: tf.Tensor) -> None:
        """Called after the update where `second_forward` is set: losses [K] before and after, same batch."""

    def look_ahead(self, gains_of: Any, present: tf.Tensor) -> None:
        """Called before each step where `validation_batches` is set, to move the weights.

        Args:
            gains_of: Function of task weights [K], of how much each task counts [K] and of a step size (None for that
                of the optimizer). A trial step of that size with those weights lowers the loss on other examples, in
                which tasks count as told; the function gives by how much a unit of each task's weight does, [K].
            present: Which tasks have a label in the training batch, bool [K].
        """

    def combine(self, jacobian: Any, losses: Any = None) -> tf.Tensor:
        """The method exactly as its paper states it, on a plain Jacobian: for tests and study.

        Args:
            jacobian: Task gradients [K, P], any float; the algebra runs in float64.
            losses: Task losses [K] for methods that read them.

        Returns:
            The direction [P] that replaces the gradient of the shared parameters, float64.

        Raises:
            ValueError: The method reads losses and none were given, or the shapes do not fit.
        """
        jacobian = tf.convert_to_tensor(np.asarray(jacobian, dtype="float64"))
        if jacobian.shape.rank != 2:
            raise ValueError(message("a Jacobian of shape [K, P]", "stack one row per task", shape=jacobian.shape))
        num_tasks = int(jacobian.shape[0])
        self.bind(num_tasks, gradient_size=int(jacobian.shape[1]))
        if losses is not None:
            losses = tf.convert_to_tensor(np.asarray(losses, dtype="float64"))
            if losses.shape != (num_tasks,):
                raise ValueError(message(f"losses of shape [{num_tasks}]", "pass one per task", shape=losses.shape))
        elif self.needs_losses:
            raise ValueError(
                message(f"losses for {type(self).__name__}, which reads them", "pass losses=[...]", losses=losses)
            )
        else:
            losses = tf.ones([num_tasks], tf.float64)
        return self._direction(losses, jacobian, tf.ones([num_tasks], tf.bool))

    def _direction(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        raise TypeError(message("one of the three kinds of weighting", "subclass one", weighting=type(self).__name__))

    # -- saving --------------------------------------------------------------------------------------------------

    def save_own_variables(self, store: Any) -> None:
        """Under names that no other method uses, so that none takes this one's state for its own."""
        for key, variable in self._own_state().items():
            store[key] = keras.ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        """The state that was saved; of another method or of other tasks, a warning and the state of a new one."""
        own = self._own_state()
        saved = {key: np.asarray(store[key]) for key in own if key in store.keys()}  # noqa: SIM118
        if all(key in saved and saved[key].shape == tuple(variable.shape) for key, variable in own.items()):
            for key, variable in own.items():
                variable.assign(saved[key])
            return
        self.reset()
        text = message(
            f"the state of weighting {self.name!r} for {len(self.tasks)} tasks",
            "load weights that were saved with this weighting, or go on: it begins afresh",
            saved=sorted(store.keys()) or "another weighting's",
        )
        warnings.warn(text, stacklevel=2)

    def _own_state(self) -> dict[str, keras.Variable]:
        method = self.registered_name or type(self).__name__
        return {f"{method}.{variable.name}": variable for variable in self.own_variables}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments; subclasses add theirs to this."""
        return {"name": self.name}

    def get_build_config(self) -> None:
        """Nothing: a loaded weighting is bound to its tasks by `compile`, not by Keras."""
        return


class LossWeighting(Weighting):
    """Weights from losses alone; the step minimises `sum(weights * losses) + penalty`.

    Weights are treated as constants, unless the method trains variables of its own: then gradients flow from the
    total into those variables through `call`.
    """

    needs_losses = True
    cost = "one backward"

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """Weights from the global losses.

        Args:
            losses: Global mean losses [K]; 0 where absent.
            present: Which tasks have a label in the global batch, bool [K]. State of absent ones must not move.

        Returns:
            Weights [K].
        """
        raise TypeError(message("a subclass with call", "define call", weighting=type(self).__name__))

    def total(self, losses: Any) -> tf.Tensor:
        """The scalar that the step minimises for these losses [K], all present: for tests and study."""
        losses = tf.convert_to_tensor(losses, "float32")
        present = tf.ones(losses.shape, tf.bool)
        total = tf.reduce_sum(self.call(losses, present) * losses)
        penalty = self.penalty(present)
        return total if penalty is None else total + penalty

    def _direction(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        weights = tf.cast(self.call(tf.cast(losses, tf.float32), present), tf.float64)
        return tf.linalg.matvec(jacobian, weights, transpose_a=True)


class GradientWeighting(Weighting):
    """Weights from the K×K Gramian of task gradients; the update is `sum(weights * gradients)`."""

    reads = "gramian"
    scopes: tuple[str, ...] = SCOPES
    cost = "features, last_layer: one backward; parameters: K trunk backwards"

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """Weights from the global Gramian.

        Args:
            losses: Global mean losses [K]; 0 where absent.
            gramian: Inner products of the global task gradients, float64 [K, K]; rows and columns of absent tasks 0.
            present: Which tasks have a label in the global batch, bool [K].

        Returns:
            Weights [K], 0 for absent tasks. With a task absent, the others get what the method gives them alone.
        """
        raise TypeError(message("a subclass with call", "define call", weighting=type(self).__name__))

    def _direction(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        gramian = tf.matmul(jacobian, jacobian, transpose_b=True)
        weights = tf.cast(self.call(losses, gramian, present), tf.float64)
        return tf.linalg.matvec(jacobian, weights, transpose_a=True)


class GradientAggregator(Weighting):
    """A direction from the whole Jacobian [K, P], for methods that no K×K Gramian can express."""

    reads = "jacobian"
    scopes: tuple[str, ...] = ("parameters",)
    cost = "K trunk backwards and a K×P matrix"

    def call(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """The direction that replaces the shared gradient.

        Args:
            losses: Global mean losses [K]; 0 where absent.
            jacobian: Global task gradients [K, P], float32 in training, float64 in `combine`; absent rows 0.
            present: Which tasks have a label in the global batch, bool [K].

        Returns:
            Direction [P], of the Jacobian's dtype.
        """
        raise TypeError(message("a subclass with call", "define call", weighting=type(self).__name__))

    def _direction(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        return self.call(losses, jacobian, present)


registry = Registry("weighting", Weighting)
register = registry.register
