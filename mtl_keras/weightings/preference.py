"""How much each task is wanted, told to a method that knows what to do with it."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import register, registry
from mtl_keras.weightings.wrapper import Wrapper


@register("preference")
class Preference(Wrapper):
    """The method with a preference among the tasks: `Preference("stch", w)` is `STCH(preference=w)`.

    What a preference means is the method's own matter, see there: the ratio of losses to aim at, or the share of each
    task in the update before conflicts are taken out.

    Args:
        inner: A method with an argument `preference`, a weighting, config or name; default `"stch"`. Weights and
            gradient methods alike.
        weights: None (default) for equal ones, or what the method takes: a dict by task name or a list in task order,
            numbers of at least 0.

    State: that of the method.

    Raises:
        ValueError: The method knows no preference, or the weights do not fit.

    Example:
        >>> from mtl_keras import weightings
        >>> wanted = weightings.Preference("stch", {"task0": 3.0, "task1": 1.0})
        >>> wanted.combine([[1.0, 0.0], [0.0, 1.0]], losses=[1.0, 3.0]).numpy().tolist()
        [0.375, 0.125]

    Source: that of the method.
    """

    reads = "losses"
    scopes = ()
    needs_losses = True
    paper = "that of the method"

    def __init__(self, inner: Any = "stch", weights: Any = None, name: str | None = None, **kwargs: Any):
        plain = registry.get(inner)
        config = plain.get_config()
        if "preference" not in config:
            raise ValueError(
                message(
                    "a method that knows a preference among tasks",
                    "scale the losses with compile(loss_weights={...}) instead",
                    inner=plain.name,
                )
            )
        super().__init__([type(plain).from_config({**config, "preference": weights})], name=name, **kwargs)
        self.weights_config = weights

    def call(self, losses: tf.Tensor, *rest: tf.Tensor) -> tf.Tensor:
        return self.inner.call(losses, *rest)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weights": self.weights_config}
