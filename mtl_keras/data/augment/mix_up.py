"""Blends of two examples."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import tensorflow as tf

from mtl_keras.data.augment.base import Augmentation, amount
from mtl_keras.data.augment.mover import Batch
from mtl_keras.errors import message


@dataclass(frozen=True)
class MixUp(Augmentation):
    """Blend each example of a batch with its neighbour: `x' = l x_i + (1 - l) x_j`, `l ~ Beta(alpha, alpha)`.

    Labels are blended task by task: ids become class probabilities [B, C], yes-or-no labels probabilities, numbers the
    numbers between. Where only one of the two has a label for a task, the blend keeps that label with that example's
    share as its weight: for losses that are linear in the label (cross-entropy) or quadratic in it (squared error), the
    gradient is that of the blended losses of the labels that exist. Where neither has one, the label stays missing.

    Args:
        alpha: Of the Beta distribution, above 0 and up to 100: small values leave most blends close to one of the two,
            default 0.2.
        chance: That an example is blended at all, from 0 to 1, default 1.0.

    Example:
        >>> MixUp(0.4)
        MixUp(alpha=0.4, chance=1.0)

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018. Where we depart: every example has its
    own `l`, drawn from its own seed, and the partner is the neighbour in the (shuffled) batch, not a new permutation.
    """

    alpha: float = 0.2
    chance: float = 1.0

    draws = 1

    def __post_init__(self) -> None:
        amount("MixUp", "alpha", self.alpha, 1e-3, 100)
        amount("MixUp", "chance", self.chance, 0, 1)

    def blend(self, batch: Batch, numbers: tf.Tensor, seeds: tf.Tensor, classes: Mapping[str, int]) -> Batch:
        """The blended batch.

        Args:
            batch: Images are float32; labels have a harmless value where one is missing.
            numbers: Uniform numbers, float32 [B, draws].
            seeds: Int64 [B, 2].
            classes: `{task: number of classes}` of the tasks whose labels are class ids.
        """
        shares = self._shares(numbers, seeds)
        own = _like(shares, batch.images)
        batch = replace(batch, images=own * batch.images + (1.0 - own) * _partner(batch.images))
        for task, labels in batch.labels.items():
            if task not in classes and labels.dtype.is_integer:
                raise ValueError(
                    message(
                        f"the number of classes of task {task!r} for MixUp", "pass classes={...}", classes=[*classes]
                    )
                )
            batch = batch.with_label(task, *blend_labels(labels, batch.weight(task), shares, classes.get(task)))
        return batch

    def _shares(self, numbers: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """How much of itself each example keeps: float32 [B]."""

        def one(seed: tf.Tensor) -> tf.Tensor:
            parts = tf.random.stateless_gamma([2], seed, self.alpha, dtype=tf.float64)
            return tf.math.divide_no_nan(parts[0], parts[0] + parts[1])

        drawn = tf.map_fn(one, seeds, fn_output_signature=tf.float64)
        return tf.where(numbers[:, 0] < self.chance, tf.cast(drawn, tf.float32), 1.0)


def blend_labels(
    labels: tf.Tensor, weights: tf.Tensor, shares: tf.Tensor, num_classes: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Labels of one task, each blended with its neighbour's, as far as the two exist.

    Args:
        labels: Class ids [B] or [B, 1], or numbers [B, ...].
        weights: Sample weights, float32 [B] or at the shape of the labels; 0 where a label is missing.
        shares: How much of itself each example keeps, [B].
        num_classes: C for class ids, `None` (default) for numbers.

    Returns:
        Float32 labels, [B, C] for class ids, and weights.

    Example:
        >>> import tensorflow as tf
        >>> labels, weights = blend_labels(tf.constant([8.0, 4.0]), tf.constant([1.0, 0.0]), tf.constant([0.75, 0.75]))
        >>> labels.numpy().tolist(), weights.numpy().tolist()
        ([8.0, 8.0], [0.75, 0.25])
    """
    if num_classes is not None:
        weights = tf.reshape(weights, [-1])
        labels = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), num_classes)
    values = tf.cast(labels, tf.float32)
    own = _like(shares, weights) * weights
    other = (1.0 - _like(shares, weights)) * _partner(weights)
    fraction = _like(tf.math.divide_no_nan(own, own + other), values)
    # a label that does not exist must not enter, even as NaN times 0
    first = tf.where(_like(own, values) > 0.0, values, 0.0)
    second = tf.where(_like(other, values) > 0.0, _partner(values), 0.0)
    return fraction * first + (1.0 - fraction) * second, own + other


def _partner(values: tf.Tensor) -> tf.Tensor:
    """What each example's neighbour has."""
    return tf.roll(values, 1, axis=0)


def _like(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Trailing axes of length 1, so that weights broadcast over the values."""
    while weights.shape.rank < values.shape.rank:
        weights = tf.expand_dims(weights, -1)
    return weights
