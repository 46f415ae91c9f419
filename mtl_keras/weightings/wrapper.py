"""What wrappers have in common: weightings inside a weighting."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.weightings.base import (
    SCOPES,
    GradientAggregator,
    GradientWeighting,
    LossWeighting,
    Weighting,
    registry,
)

_KINDS: dict[str, Any] = {"losses": LossWeighting, "gramian": GradientWeighting, "jacobian": GradientAggregator}
_FOLLOWED = (
    "reads",
    "scopes",
    "needs_losses",
    "positive_losses",
    "second_forward",
    "cross_gramian",
    "validation_batches",
    "cost",
)


class Wrapper(Weighting):
    """Base of wrappers: needs and life cycle follow the weightings inside, which are sub-layers.

    The class attributes are those of the default inner weighting, a gradient weighting; each instance has those of the
    weighting it was given. `call(losses, [gramian or jacobian,] present)` takes what the inner weighting takes.

    Args:
        inners: Weightings, configs or names; what is asked of the step follows the last of them.
    """

    reads = "gramian"
    scopes: tuple[str, ...] = SCOPES
    cost = "that of the method inside"

    def __init__(self, inners: list[Any], name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.inners: list[Weighting] = [registry.get(inner) for inner in inners]
        for attribute in _FOLLOWED:
            setattr(self, attribute, getattr(self.inners[-1], attribute))

    @property
    def inner(self) -> Weighting:
        """The weighting inside; the last one where there are several."""
        return self.inners[-1]

    def create_state(self, num_tasks: int) -> None:
        for inner in self.inners:
            inner.bind(list(self.tasks), gradient_size=self.gradient_size)

    @property
    def own_variables(self) -> list[keras.Variable]:
        inside = {id(variable) for inner in self.inners for variable in inner.variables}
        return [variable for variable in self.variables if id(variable) not in inside]

    def reset(self) -> None:
        super().reset()
        for inner in self.inners:
            inner.reset()

    def penalty(self, present: tf.Tensor) -> tf.Tensor | None:
        penalties = [p for p in (inner.penalty(present) for inner in self.inners) if p is not None]
        return tf.add_n(penalties) if penalties else None

    def begin_epoch(self, epoch: int) -> None:
        for inner in self.inners:
            inner.begin_epoch(epoch)

    def after_step(self, losses: tf.Tensor, new_losses: tf.Tensor, present: tf.Tensor) -> None:
        for inner in self.inners:
            if inner.second_forward:
                inner.after_step(losses, new_losses, present)

    def look_ahead(self, gains_of: Any, present: tf.Tensor) -> None:
        self.inner.look_ahead(gains_of, present)

    def loss_factors(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor | None:
        return self.inner.loss_factors(losses, present)

    def _direction(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        return _KINDS[self.reads]._direction(self, losses, jacobian, present)

    def _with_gradients_of(self, fresh: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """`weights`, through which gradients flow into trained variables as they do through `fresh`."""
        return tf.stop_gradient(weights - fresh) + fresh if self.trainable_variables else weights

    def get_config(self) -> dict[str, Any]:
        """The wrapper's own arguments; `inner` is that of all wrappers around one."""
        return {**super().get_config(), "inner": keras.saving.serialize_keras_object(self.inner)}
