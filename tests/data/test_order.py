"""Orders follow from the key alone."""

import tensorflow as tf

from mtl_keras.data.order import mixed


def order_of(key, seed):
    """Forty numbers mixed under a seed of the program, and what the program draws afterwards."""
    tf.random.set_seed(seed)
    keys = tf.data.Dataset.from_tensors(tf.constant(key, tf.int64))
    numbers = keys.flat_map(lambda key: mixed(tf.data.Dataset.range(40), 10, key))
    return [int(number) for number in numbers], float(tf.random.uniform([]))


def test_the_seed_of_the_program_has_no_part_in_it_and_is_not_changed():
    # guards what is said nowhere: that tf.random.set_seed, within a function, is for that function alone
    order, drawn = order_of(5, seed=1)
    assert sorted(order) == list(range(40)) != order
    assert order_of(5, seed=2)[0] == order_of(5, seed=None)[0] == order
    assert order_of(6, seed=1)[0] != order
    tf.random.set_seed(1)
    assert float(tf.random.uniform([])) == drawn
