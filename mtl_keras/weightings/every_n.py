"""Weights that are used again for some steps before the method is asked anew."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import register
from mtl_keras.weightings.checks import whole
from mtl_keras.weightings.wrapper import Wrapper


@register("every_n")
class EveryN(Wrapper):
    """The method at every n-th step; in between the weights that it gave last.

    Args:
        inner: The method, a weighting, config or name; default `"pcgrad"`. It has to give weights: an aggregator,
            which gives a direction, is refused.
        n: Steps from one solve to the next, at least 1, default 5; 1 is the method itself.

    The solve is really skipped in between, and with it the moves of the method's state (its draws, its running means).
    The Gramian itself is taken at every step. Where other tasks are present than at the last solve, the method is asked
    at once and the count begins again. Where its weights are trained, the method runs at every step, for that is what
    trains them; only what is applied to the losses is held.

    State, float32: `held` [K], the weights of the last solve that had the task; `solved_for` [K], 1 for the tasks of
    the last solve; `phase`, steps since then.

    Raises:
        ValueError: The inner method gives no weights, or `n` is not a whole number of at least 1.

    Example:
        >>> from mtl_keras import weightings
        >>> every, rows = weightings.EveryN("inverse_loss", n=2), [[1.0, 0.0], [0.0, 1.0]]
        >>> [every.combine(rows, losses=[x, 1.0]).numpy().tolist() for x in (1.0, 0.5, 0.25)]
        [[1.0, 1.0], [1.0, 1.0], [4.0, 1.0]]

    Source: Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022, who update the weights every few steps.
    """

    paper = "Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022"

    def __init__(self, inner: Any = "pcgrad", n: int = 5, name: str | None = None, **kwargs: Any):
        super().__init__([inner], name=name, **kwargs)
        self.n = whole("n", n, example=5, at_least=1)
        if self.reads == "jacobian":
            raise ValueError(
                message(
                    "a method that gives weights, which can be used again; an aggregator gives a direction",
                    "choose one that reads losses or the Gramian",
                    inner=self.inner.name,
                )
            )

    def create_state(self, num_tasks: int) -> None:
        super().create_state(num_tasks)
        self.held = self.add_state("held", (num_tasks,))
        self.solved_for = self.add_state("solved_for", (num_tasks,))
        self.phase = self.add_state("phase", ())

    def call(self, losses: tf.Tensor, *rest: tf.Tensor) -> tf.Tensor:
        mask = tf.cast(rest[-1], tf.float32)
        held, phase = tf.convert_to_tensor(self.held.value), tf.convert_to_tensor(self.phase.value)
        due = (phase == 0.0) | tf.reduce_any(tf.convert_to_tensor(self.solved_for.value) != mask)
        if self.trainable_variables:
            fresh = tf.cast(self.inner.call(losses, *rest), tf.float32)
            weights = self._with_gradients_of(fresh, tf.where(due, fresh, held))
        else:
            weights = fresh = self._solved_if(due, held, losses, *rest)
        self.held.assign(tf.where(due & rest[-1], fresh, held))
        self.solved_for.assign(mask)
        self.phase.assign(tf.where(due, 1.0, phase + 1.0) % self.n)
        return weights * mask

    def _solved_if(self, due: tf.Tensor, held: tf.Tensor, losses: tf.Tensor, *rest: tf.Tensor) -> tf.Tensor:
        """The method's weights if `due`, else `held`.

        The method runs without touching its variables, whose new values come out of the branch and are assigned behind
        it: replicas cannot assign inside of one.
        """
        variables = self.inner.variables
        before = [tf.convert_to_tensor(variable.value) for variable in variables]

        def solve() -> list[tf.Tensor]:
            with keras.StatelessScope(list(zip(variables, before, strict=True)), initialize_variables=False) as scope:
                weights = self.inner.call(losses, *rest)
            return [tf.cast(weights, tf.float32), *[scope.get_current_value(variable) for variable in variables]]

        weights, *after = tf.cond(due, solve, lambda: [held, *before])
        for variable, value in zip(variables, after, strict=True):
            variable.assign(value)
        return weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n": self.n}
