"""From examples to batches: batch, complete the labels, augment, scale the inputs, prefetch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from mtl_keras.data.augment import Augmentation, Chain
from mtl_keras.data.examples import Example, Examples
from mtl_keras.data.kinds import LabelKind
from mtl_keras.data.order import example_seed
from mtl_keras.data.parallel import options
from mtl_keras.errors import message


class Augment(Protocol):
    """What changes batches of training examples at random; never applied to other splits.

    `augment.Chain` is one; so is any function of this signature.
    """

    def __call__(
        self, seeds: tf.Tensor, x: Example, y: Example, w: Example, classes: Mapping[str, int]
    ) -> tuple[Example, Example, Example]:
        """The changed inputs, labels and weights.

        Args:
            seeds: Int64 [B, 2], one per example, which follow from the source's seed, the epoch and the example. All
                that is random follows from them.
            x: Inputs as they are stored, e.g. images from 0 to 255.
            y: Labels by task, 0 where one is missing.
            w: Weights by task at the shape of the labels, 0 where a label is missing, else 1.
            classes: `{task: number of classes}` of the tasks whose labels are class ids.
        """


@dataclass(frozen=True)
class Batching:
    """How batches are made.

    Attributes:
        batch_size: B, over all replicas together.
        training: Whether the order is shuffled, examples are augmented and a last part of a batch is dropped.
        replicas: How many replicas share a batch. With more than one, evaluation pads the last batch with examples of
            weight 0, as no replica must go without.
        augment: See `Augment`; a list of augmentations becomes a chain; None for none.
    """

    batch_size: int
    training: bool
    replicas: int = 1
    augment: Augment | Sequence[Augmentation] | None = None

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        if self.batch_size % self.replicas:
            raise ValueError(
                message(
                    f"a batch size that {self.replicas} replicas can share evenly",
                    f"pass a multiple of {self.replicas}",
                    batch_size=self.batch_size,
                )
            )
        if isinstance(self.augment, Sequence):
            object.__setattr__(self, "augment", Chain(self.augment))
        if self.augment is not None and not callable(self.augment):
            raise ValueError(
                message("augmentations", "pass e.g. [augment.Flip(), augment.Colour()]", augment=self.augment)
            )

    def steps(self, size: int) -> int:
        """Number of batches that `size` examples make."""
        return size // self.batch_size if self._drops(size) else -(-size // self.batch_size)

    def _drops(self, size: int) -> bool:
        # every epoch drops others; fewer examples than one batch are one small batch
        return self.training and size >= self.batch_size

    def apply(
        self,
        examples: Examples,
        keys: tf.data.Dataset,
        kinds: Mapping[str, LabelKind],
        scales: Mapping[str, tuple[float, float]],
    ) -> tf.data.Dataset:
        """Batches `(x, {task: y}, {task: weight})` of the examples, of known cardinality.

        Args:
            examples: One split.
            keys: See `Examples.ordered`.
            kinds: `{task: kind}`.
            scales: `{input: (scale, offset)}` for inputs that become `x * scale + offset` in float32.
        """
        size = examples.length(self.training)
        drops = self._drops(size)
        augment: Any = self.augment if self.training else None
        # where every batch is full, dropping what is left says so: shapes are static
        batches = examples.batched(keys, self.training, self.batch_size, drops or size % self.batch_size == 0)
        classes = {task: kind.num_classes for task, kind in kinds.items() if kind.num_classes is not None}
        pads = self.replicas > 1 and not drops

        # all of it in one function, as each costs something for every batch
        def finish(key: tf.Tensor, batch: tuple[tf.Tensor, Any]) -> tuple[Any, Example, Example]:
            number, stored = batch
            inputs = examples.read(number, stored)
            found = examples.labels_of(number)
            completed = {task: kind.complete(found[task]) for task, kind in kinds.items()}
            labels = {task: values for task, (values, _) in completed.items()}
            weights = {task: weight for task, (_, weight) in completed.items()}
            if augment is not None:
                inputs, labels, weights = augment(example_seed(key, number), inputs, labels, weights, classes)
            made = ({name: _scaled(values, scales.get(name)) for name, values in inputs.items()}, labels, weights)
            if pads:
                made = tf.nest.map_structure(lambda t: _padded(t, self.batch_size), made)
            x, y, w = made
            return (next(iter(x.values())) if len(x) == 1 else x), y, w

        finished = batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
        finished = finished.apply(tf.data.experimental.assert_cardinality(self.steps(size)))
        return finished.prefetch(tf.data.AUTOTUNE).with_options(options())


def check_batch_size(batch_size: Any) -> None:
    """Refuse what is no number of examples.

    Raises:
        ValueError: It is no whole number of at least 1.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(message("a whole batch size of at least 1", "pass batch_size=64", batch_size=batch_size))


def _scaled(values: tf.Tensor, scale: tuple[float, float] | None) -> tf.Tensor:
    if scale is None:
        return values
    factor, offset = scale
    white = np.float32(255 * factor)
    if values.dtype == tf.uint8 and not offset and white / np.float32(255) == np.float32(factor):
        # the same numbers, but one pass over the memory instead of two
        return tf.quantization.dequantize(tf.bitcast(values, tf.quint8), 0.0, white)
    values = tf.cast(values, tf.float32) * factor
    return values + offset if offset else values


def _padded(values: tf.Tensor, size: int) -> tf.Tensor:
    """A batch filled up with zeros; zeros as weights mean that the examples do not count."""
    missing = size - tf.shape(values)[0]
    padded = tf.pad(values, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1))
    return tf.ensure_shape(padded, (size, *values.shape[1:]))
