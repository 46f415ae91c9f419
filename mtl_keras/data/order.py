"""The order of the examples: a function of seed and epoch, never of what was read before."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message

# epochs per seed: key = seed * EPOCHS + epoch
EPOCHS = 2**20
# what TensorFlow itself takes where no seed of the program is set
_BESIDE_KEY = 87654321


def check_buffer(shuffle_buffer: Any) -> None:
    """Refuse what is no number of examples that are mixed at a time.

    Raises:
        ValueError: It is no whole number of at least 1.
    """
    if isinstance(shuffle_buffer, bool) or not isinstance(shuffle_buffer, int) or shuffle_buffer < 1:
        raise ValueError(message("a whole shuffle_buffer of at least 1", "pass 4096", shuffle_buffer=shuffle_buffer))


class EpochOrder:
    """Tells a dataset which epoch it is in.

    The epoch lies in a variable that the dataset reads when a pass over it begins. `MultiTaskModel.fit` sets it through
    `begin_epoch` at the beginning of every epoch, so that a resumed run goes on with the same order; without that it
    counts the passes.

    Args:
        seed: Seed of the order, from 0 to 2^31 - 1.

    Example:
        >>> order = EpochOrder(seed=1)
        >>> keys = order.keys()
        >>> [int(next(iter(keys))) - EPOCHS for _ in range(3)]
        [0, 1, 2]
        >>> order.begin_epoch(1)
        >>> [int(next(iter(keys))) - EPOCHS for _ in range(2)]
        [1, 2]
    """

    def __init__(self, seed: int = 0):
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise ValueError(message("a whole seed from 0 to 2147483647", "choose another", seed=seed))
        self.seed = seed
        with tf.device("CPU:0"):
            self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False, name="data_epoch")

    def begin_epoch(self, epoch: int) -> None:
        """Let the next pass be that of this epoch, counted from 0."""
        self.epoch.assign(epoch)

    def keys(self) -> tf.data.Dataset:
        """One int64 scalar, which stands for seed and epoch; the epoch moves on with every pass."""

        def key(_: tf.Tensor) -> tf.Tensor:
            epoch = self.epoch.assign_add(1, read_value=True) - 1
            return self.seed * EPOCHS + epoch % EPOCHS

        return tf.data.Dataset.range(1).map(key)


def fixed_key(seed: int = 0) -> tf.data.Dataset:
    """The key of epoch 0, in every pass."""
    return tf.data.Dataset.from_tensors(tf.constant(seed * EPOCHS, tf.int64))


def permutation(key: tf.Tensor, size: int) -> tf.Tensor:
    """The numbers 0 to `size - 1` in the order that belongs to the key, int64 [size].

    Example:
        >>> permutation(tf.constant(5, tf.int64), 6).numpy().tolist()
        [5, 1, 3, 4, 0, 2]
    """
    # index_shuffle would need no sorting, but reads some bits of its seed only: seeds would share orders
    numbers = tf.range(size, dtype=tf.int64)
    return tf.random.experimental.stateless_shuffle(numbers, tf.stack([key, tf.zeros_like(key)]), alg="philox")


def mixed(dataset: tf.data.Dataset, buffer: int, key: tf.Tensor) -> tf.data.Dataset:
    """The dataset with a buffer of its examples mixed at a time, in the order that belongs to the key."""

    def mix(key: tf.Tensor) -> tf.data.Dataset:
        # shuffle() adds the seed of the program to its own; within a function this sets it for that function alone
        tf.random.set_seed(_BESIDE_KEY)
        return dataset.shuffle(buffer, seed=key, reshuffle_each_iteration=False)

    return tf.data.Dataset.from_tensors(key).flat_map(mix)


def example_seed(key: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The seed of what is random about one example in one epoch: int64 [2], or [B, 2] for indices [B]."""
    return tf.stack([tf.broadcast_to(key, tf.shape(index)), index], axis=-1)
