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
    gradients = replicas.total([tf.convert_to_tensor(gradient) for gradient, _ in pairs])
    if norm:
        gradients = [tf.clip_by_norm(g, tf.cast(norm * scale, g.dtype)) for g in gradients]
    elif global_norm:
        gradients, _ = tf.clip_by_global_norm(gradients, global_norm * scale)
    else:
        # what is not finite stays so, for an optimizer that skips such steps
        gradients = [tf.clip_by_value(g, -value * scale, value * scale) + 0.0 * g for g in gradients]
    share = 1.0 / replicas.count()
    return [(tf.cast(share, g.dtype) * g, variable) for g, (_, variable) in zip(gradients, pairs, strict=True)]
