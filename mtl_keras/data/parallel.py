"""How many examples are made at once, and how TensorFlow runs the pipelines."""

import os

import tensorflow as tf

# processors that this process may use
_CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# as many examples are decoded at once; more than processors, since one that is done waits for those before it
AT_ONCE = 4 * _CPUS


def options() -> tf.data.Options:
    """How every pipeline of batches is run.

    TensorFlow does not tune them while they run. Where it does, an iterator that has ended may wait until the thread
    that tunes looks again, up to a minute: that one is woken before it can see that it is to end (TensorFlow 2.21; see
    `python -m benchmarks.data --only epochs`), and `fit` makes an iterator for every epoch. `tf.data.AUTOTUNE` now
    stands for as many calls at once as there are processors, at most 16.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    # the examples are one set, whatever files they lie in
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
