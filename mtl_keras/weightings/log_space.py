"""A method on the logarithms of the losses."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import register
from mtl_keras.weightings.positive import above_zero
from mtl_keras.weightings.wrapper import Wrapper


@register("log_space")
class LogSpace(Wrapper):
    """The method for `log L_k` in the place of `L_k`: no task counts more for the unit of its loss.

    The gradient of `log L_k` is `g_k / L_k`. So the method sees the losses `log L_k`, the Gramian `G_ij / (L_i L_j)` or
    the Jacobian `g_k / L_k`; of the weights v that it gives, `v_k / L_k` are applied to the `L_k`.
    `LogSpace("equal")` is `LogSum`; LOG-MGDA, LOG-CAGrad and LOG-IMTLG are this around those.

    Args:
        inner: The method, a weighting, config or name; default `"pcgrad"`. Log-losses can be negative: a method that
            needs losses above 0 is refused, and so is one that measures losses by itself on validation batches.

    Losses have to stay above 0; smaller ones count as 1e-12. State: that of the method. Heads are not touched: with
    `head_gradients="unweighted"` they train on the plain losses.

    Where the method takes products of two halves of a batch, both halves count with the loss of the whole.

    Raises:
        ValueError: The method does not go with log-losses.

    Example:
        >>> from mtl_keras import weightings
        >>> logs = weightings.LogSpace("equal")
        >>> logs.combine([[1.0, 0.0], [0.0, 1.0]], losses=[0.5, 4.0]).numpy().tolist()
        [2.0, 0.25]

    Source: Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023, whose code has the three above.
    """

    paper = "Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023"
    needs_losses = True
    positive_losses = True

    def __init__(self, inner: Any = "pcgrad", name: str | None = None, **kwargs: Any):
        super().__init__([inner], name=name, **kwargs)
        if self.inner.positive_losses or self.inner.validation_batches:
            raise ValueError(
                message(
                    "a method that goes with log-losses, which can be negative",
                    "use it without LogSpace",
                    inner=self.inner.name,
                )
            )
        self.needs_losses = self.positive_losses = True

    def call(self, losses: tf.Tensor, *rest: tf.Tensor) -> tf.Tensor:
        present = rest[-1]
        losses = above_zero(losses, present)
        logarithms = tf.math.log(losses)
        if self.reads == "losses":
            return self._for_plain(self.inner.call(logarithms, present), losses)
        inverse = tf.cast(1.0 / losses, rest[0].dtype)
        if self.reads == "gramian":
            scaled = rest[0] * inverse[:, None] * inverse[None, :]
            return tf.cast(self.inner.call(logarithms, scaled, present), inverse.dtype) * inverse
        return self.inner.call(logarithms, rest[0] * inverse[:, None], present)

    def loss_factors(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor | None:
        losses = above_zero(losses, present)
        factors = super().loss_factors(tf.math.log(losses), present)
        return None if factors is None else self._for_plain(factors, losses)

    def _for_plain(self, weights: tf.Tensor, losses: tf.Tensor) -> tf.Tensor:
        """Weights for the losses from weights for their logarithms; the gradient into trained variables is that of
        `sum v log L` and not of `sum (v / L) L`."""
        return self._with_gradients_of(weights * tf.math.log(losses), weights) / losses

    def after_step(self, losses: tf.Tensor, new_losses: tf.Tensor, present: tf.Tensor) -> None:
        before, after = above_zero(losses, present), above_zero(new_losses, present)
        super().after_step(tf.math.log(before), tf.math.log(after), present)
