"""Clipping on several replicas: of the gradient of the global batch, as one device would do it."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.gradients import replicas
from mtl_keras.training.slots import parts_of

Pairs = list[tuple[Any, keras.Variable]]


def check_clipping(optimizer: Any) -> None:
    """Refuse clipping inside an optimizer of several parts, which would see one replica's gradients only.

    Raises:
        ValueError: There are several replicas, and a part clips.
    """
    parts = parts_of(optimizer)
    if replicas.count() == 1 or list(parts) == [""]:
        return
    for name, part in parts.items():
        for argument in ("clipnorm", "global_clipnorm", "clipvalue"):
            if getattr(part, argument, None):
                raise ValueError(
                    message(
                        f"no clipping in one part of an optimizer on several replicas (part {name!r})",
                        "pass optimizers.per_task(..., global_clipnorm=...), which sees all parts and replicas",
                        **{argument: getattr(part, argument)},
                    )
                )


def clipped(optimizer: Any, pairs: Pairs) -> Pairs:
    """This replica's shares of the gradients, clipped where the optimizer asks for it, so that it need not do it again.

    Keras clips what one replica has and adds up afterwards. Here the sum is clipped, and every replica gets an equal
    share of the result, which is within the bounds.

    A sparse gradient (of an embedding) is clipped as Keras does it on one device: as the rows that the examples give to
    it, before those of the same place are added up. So replicas exchange nothing but their norm.

    Args:
        optimizer: A plain optimizer, or one that scales the loss around it.
        pairs: `(this replica's share of the gradient, variable)`.
    """
    plain = getattr(optimizer, "inner_optimizer", optimizer)
    bounds: list[Any] = [getattr(plain, name, None) for name in ("clipnorm", "global_clipnorm", "clipvalue")]
    if replicas.count() == 1 or not any(bounds):
        return pairs
    norm, global_norm, value = bounds
    scale = optimizer.scale_loss(tf.ones([]))
    sparse = [isinstance(gradient, tf.IndexedSlices) for gradient, _ in pairs]
    parts = [g.values if rows else tf.convert_to_tensor(g) for rows, (g, _) in zip(sparse, pairs, strict=True)]
    parts = _summed([not rows for rows in sparse], parts)
    if norm or global_norm:
        squares = _summed(sparse, [tf.reduce_sum(tf.square(tf.cast(g, tf.float32))) for g in parts])
        if not norm:
            squares = [tf.add_n(squares)] * len(squares)
        limit = (norm or global_norm) * scale
        factors = [limit / tf.maximum(tf.sqrt(square), limit) for square in squares]
        parts = [tf.cast(factor, g.dtype) * g for factor, g in zip(factors, parts, strict=True)]
    else:
        # what is not finite stays so, for an optimizer that skips such steps
        parts = [tf.clip_by_value(g, -value * scale, value * scale) + 0.0 * g for g in parts]
    return [(_share(part, gradient), variable) for part, (gradient, variable) in zip(parts, pairs, strict=True)]


def _summed(chosen: list[bool], tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """The chosen tensors summed over replicas, the others as they are."""
    if not any(chosen):
        return tensors
    sums = iter(replicas.total([tensor for tensor, one in zip(tensors, chosen, strict=True) if one]))
    return [next(sums) if one else tensor for tensor, one in zip(tensors, chosen, strict=True)]


def _share(clipped: tf.Tensor, gradient: Any) -> Any:
    """Of a gradient of all replicas an equal share; of a sparse one these are this replica's rows already."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(clipped, gradient.indices, gradient.dense_shape)
    return clipped / tf.cast(replicas.count(), clipped.dtype)
