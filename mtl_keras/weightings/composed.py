"""A loss weighting and a gradient method together."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import Weighting, register, registry
from mtl_keras.weightings.wrapper import Wrapper


@register("composed")
class Composed(Wrapper):
    """A loss weighting brings the losses to scale, then a gradient method balances the gradients of the scaled losses.

    With the weights v of the loss weighting, the gradient method sees the losses `v_k L_k` and the Gramian
    `v_i v_j G_ij` (or the Jacobian `v_k g_k`). With its weights u, `v_k u_k` are applied to the `L_k`. This is what
    `compile(weighting=["uncertainty", "pcgrad"])` makes.

    Args:
        parts: One loss weighting and one gradient method (of either kind), in either order; weightings, configs or
            names. Default `("dwa", "pcgrad")`. Loss weightings that need a second forward pass or validation batches
            are refused: these see the losses themselves, which the gradient method does not train.

    State: that of the parts. Trained loss weightings minimise `sum_k v_k L_k` with their penalty, as they do alone.

    Raises:
        ValueError: The parts are not one of each kind.

    Example:
        >>> from mtl_keras import weightings
        >>> both = weightings.Composed(["inverse_loss", "pcgrad"])
        >>> both.combine([[-8.0, 2.0, 2.0], [3.0, 0.5, 0.5]], losses=[2.0, 0.5]).numpy().round(4).tolist()
        [0.5848, 3.8012, 3.8012]

    Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, compose their two halves this way.
    """

    needs_losses = True
    paper = "those of its parts; the order as in Liu et al., ICLR 2021"

    def __init__(self, parts: Sequence[Any] = ("dwa", "pcgrad"), name: str | None = None, **kwargs: Any):
        super().__init__(_in_order(parts), name=name, **kwargs)
        self.needs_losses = True
        self.positive_losses = any(part.positive_losses for part in self.inners)

    @property
    def loss_weighting(self) -> Weighting:
        """The part that reads losses."""
        return self.inners[0]

    def call(self, losses: tf.Tensor, statistic: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        weights = tf.stop_gradient(self.loss_weighting.call(tf.cast(losses, tf.float32), present))
        losses = losses * tf.cast(weights, losses.dtype)
        weights = tf.cast(weights, statistic.dtype)
        if self.reads == "jacobian":
            return self.inner.call(losses, statistic * weights[:, None], present)
        scaled = statistic * weights[:, None] * weights[None, :]
        return weights * tf.cast(self.inner.call(losses, scaled, present), weights.dtype)

    def loss_factors(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """What the loss weighting weighs these losses by, [K]; no state moves.

        The heads train on losses that are scaled by these, and trained loss weightings on
        `sum(loss_factors * losses) + penalty`: gradients flow into their variables. Called before `call` on the same
        losses, it gives the weights that `call` is going to use.
        """
        with keras.StatelessScope(initialize_variables=False):
            return self.loss_weighting.call(losses, present)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["inner"]
        return {**config, "parts": [keras.saving.serialize_keras_object(part) for part in self.inners]}


def _in_order(parts: Sequence[Any]) -> list[Weighting]:
    """The loss weighting first, then the gradient method."""
    made = [registry.get(part) for part in parts] if isinstance(parts, Sequence) and not isinstance(parts, str) else []
    made.sort(key=lambda part: part.reads != "losses")
    if len(made) != 2 or made[0].reads != "losses" or made[1].reads == "losses":
        raise ValueError(
            message(
                "one weighting that reads losses and one that reads gradients",
                'pass two, e.g. ["uncertainty", "pcgrad"]',
                parts=[part.name for part in made] or parts,
            )
        )
    if made[0].second_forward or made[0].validation_batches:
        raise ValueError(
            message(
                "a loss weighting without a second forward pass and without validation batches",
                f"use {made[0].name!r} alone",
                parts=[part.name for part in made],
            )
        )
    return made
