"""From examples to batches: augment, batch, complete the labels, scale the inputs, prefetch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import tensorflow as tf

from mtl_keras.data.examples import Example, Examples
from mtl_keras.data.kinds import LabelKind
from mtl_keras.errors import message


@runtime_checkable
class Augment(Protocol):
    """What changes training examples at random; never applied to other splits.

    Attributes:
        takes_batches: Whether it is called with whole batches (a dict of [B, ...] and seeds [B, 2]) or with single
            examples (and a seed [2]).
    """

    takes_batches: bool

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """The changed example or batch: inputs as they are stored (images 0..255), labels with missing values.

        All that is random follows from the seed, which follows from the source's seed, the epoch and the example.
        """


@dataclass(frozen=True)
class Batching:
    """How batches are made.

    Attributes:
        batch_size: B, over all replicas together.
        training: Whether the order is shuffled, examples are augmented and a last part of a batch is dropped.
        replicas: How many replicas share a batch. With more than one, evaluation pads the last batch with examples of
            weight 0, as no replica must go without.
        augment: See `Augment`; None for none.
    """

    batch_size: int
    training: bool
    replicas: int = 1
    augment: Augment | None = None

    def __post_init__(self) -> None:
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ValueError(
                message("a whole batch size of at least 1", "pass batch_size=64", batch_size=self.batch_size)
            )
        if self.batch_size % self.replicas:
            raise ValueError(
                message(
                    f"a batch size that {self.replicas} replicas can share evenly",
                    f"pass a multiple of {self.replicas}",
                    batch_size=self.batch_size,
                )
            )
        if self.augment is not None and not isinstance(self.augment, Augment):
            raise ValueError(
                message("an object with takes_batches and a call", "see data.Augment", augment=type(self.augment))
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
        size, drops = examples.size, self._drops(examples.size)
        augment = self.augment if self.training else None
        if augment is None or augment.takes_batches:
            batches = examples.batched(keys, self.training, self.batch_size, drops)
        else:
            one = augment
            single = examples.ordered(keys, self.training)
            single = single.map(lambda seed, example: (seed, one(example, seed)), tf.data.AUTOTUNE)
            batches = single.batch(self.batch_size, drops, num_parallel_calls=tf.data.AUTOTUNE)
        pads = self.replicas > 1 and not drops
        # static shapes where every batch is full
        static = self.batch_size if drops or pads or size % self.batch_size == 0 else None

        def finish(seeds: tf.Tensor, batch: Example) -> tuple[Any, dict[str, tf.Tensor], dict[str, tf.Tensor]]:
            if augment is not None and augment.takes_batches:
                batch = augment(batch, seeds)
            labels, weights, inputs = {}, {}, {}
            for name, values in batch.items():
                if name in kinds:
                    labels[name], weights[name] = kinds[name].complete(values)
                else:
                    inputs[name] = _scaled(values, scales.get(name))
            labels, weights = ({task: part[task] for task in kinds} for part in (labels, weights))
            made = (inputs, labels, weights)
            if pads:
                made = tf.nest.map_structure(lambda t: _padded(t, self.batch_size), made)
            if static is not None:
                made = tf.nest.map_structure(lambda t: tf.ensure_shape(t, (static, *t.shape[1:])), made)
            x, y, w = made
            return (next(iter(x.values())) if len(x) == 1 else x), y, w

        finished = batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
        finished = finished.apply(tf.data.experimental.assert_cardinality(self.steps(size)))
        return finished.prefetch(tf.data.AUTOTUNE).with_options(_options())


def _scaled(values: tf.Tensor, scale: tuple[float, float] | None) -> tf.Tensor:
    if scale is None:
        return values
    factor, offset = scale
    values = tf.cast(values, tf.float32) * factor
    return values + offset if offset else values


def _padded(values: tf.Tensor, size: int) -> tf.Tensor:
    """A batch filled up with zeros; zeros as weights mean that the examples do not count."""
    missing = size - tf.shape(values)[0]
    return tf.pad(values, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1))


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # the examples are one set, whatever files they lie in
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
