"""Each replica's share of every global batch: as even as possible, never empty, none twice, none lost.

TensorFlow cuts a batch of 16 for two replicas into 8 and 8, but the 5 examples left at the end into 5 and 0, and layers
fail on empty batches. Here they become 3 and 2. Where there are fewer examples than replicas, a replica left without
gets one that another has, marked as not real: it counts in no loss, no metric and no prediction.

Several workers each read all data and take their own shares, so that any pipeline gives the batches of a single
process. They have to read the same in the same order: their fingerprints of each batch are compared.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from mtl_keras.errors import message


class Share(NamedTuple):
    """A replica's share of a global batch.

    Attributes:
        batch: What the dataset yields, with fewer examples.
        real: Whether the examples are this replica's own, bool scalar; if not, it is a single borrowed one. None where
            the size of all batches is known and no replica can be left without.
    """

    batch: Any
    real: tf.Tensor | None


def own_share(batch: Any, among_workers: bool = True) -> Share:
    """The share of the replica that calls this.

    Args:
        batch: The global batch, any structure of dense, ragged or sparse tensors with the examples on the first axis.
        among_workers: Whether the replicas of all workers share the batch; if not, those of this worker do.
    """
    context = tf.distribute.get_replica_context()
    # slices are made where the data lie, so that only a replica's own examples travel to its device
    with tf.device("CPU:0"):
        index, replicas = context.replica_id_in_sync_group, context.num_replicas_in_sync
        local = len(context.strategy.extended.worker_devices)
        if not among_workers:
            index, replicas = index % local, local
        elif replicas > local:
            with tf.control_dependencies([_same_on_all(context, batch)]):
                batch = tf.nest.map_structure(lambda t: None if t is None else tf.identity(t), batch)
        size = _fixed_size(batch)
        if size is not None and size >= replicas:
            begin, end = size * index // replicas, size * (index + 1) // replicas
            return Share(_cut(batch, begin, end), None)
        begin, end, real = bounds(_length(batch), index, replicas)
        return Share(_cut(batch, begin, end), real)


def bounds(length: Any, index: Any, replicas: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where the share of replica `index` begins and ends, and whether it is real.

    Example:
        >>> [[int(v) for v in bounds(tf.constant(5), i, 3)] for i in range(3)]
        [[0, 1, 1], [1, 3, 1], [3, 5, 1]]
        >>> [[int(v) for v in bounds(tf.constant(1), i, 2)] for i in range(2)]
        [[0, 1, 0], [0, 1, 1]]
    """
    begin, end = length * index // replicas, length * (index + 1) // replicas
    real = end > begin
    return (
        tf.where(real, begin, tf.minimum(begin, length - 1)),
        tf.where(real, end, tf.minimum(begin, length - 1) + 1),
        real,
    )


def _same_on_all(context: Any, batch: Any) -> tf.Operation:
    """An assertion that all workers have read this batch."""
    own = _fingerprint(batch)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
    text = message(
        "the same batches in the same order on every worker",
        "seed whatever shuffles (dataset.shuffle(n, seed=1), keras.utils.set_random_seed(1)), and give all workers the "
        "same files",
        batch="another on this worker",
    )
    return tf.debugging.Assert(tf.equal(total, own * context.num_replicas_in_sync), [text])


def _fingerprint(batch: Any) -> tf.Tensor:
    """A hash of labels, weights and the first example; below 2^40, so that sums over replicas stay exact."""
    inputs, others = (batch[0], batch[1:]) if isinstance(batch, tuple) else (batch, ())
    first = [part[:1] for part in tf.nest.flatten(inputs, expand_composites=True)]
    hashes = [_hash(part) for part in [*first, *_tensors(tf.nest.flatten(others, expand_composites=True))]]
    return tf.strings.to_hash_bucket_fast(tf.strings.join(hashes, ","), 2**40)


def _hash(tensor: tf.Tensor) -> tf.Tensor:
    if tensor.dtype == tf.string:
        text = tf.strings.reduce_join(tf.reshape(tensor, [-1]), separator=",")
    else:
        text = tf.io.serialize_tensor(tensor)
    return tf.strings.as_string(tf.strings.to_hash_bucket_fast(text, 2**60))


def _fixed_size(batch: Any) -> int | None:
    """The batch size, where it is the same for all batches."""
    sizes = {tensor.shape[0] for tensor in _tensors(batch)}
    return sizes.pop() if len(sizes) == 1 else None


def _tensors(batch: Any) -> list[Any]:
    """All parts of a batch; sample weights may be None."""
    return [part for part in tf.nest.flatten(batch) if part is not None]


def _length(batch: Any) -> tf.Tensor:
    first = _tensors(batch)[0]
    if isinstance(first, tf.RaggedTensor):
        return tf.cast(first.nrows(), tf.int32)
    if isinstance(first, tf.SparseTensor):
        return tf.cast(first.dense_shape[0], tf.int32)
    return tf.shape(first)[0]


def _cut(batch: Any, begin: Any, end: Any) -> Any:
    def cut(tensor: Any) -> Any:
        if isinstance(tensor, tf.SparseTensor):
            rest = tensor.dense_shape[1:]
            start = tf.concat([[tf.cast(begin, tf.int64)], tf.zeros_like(rest)], 0)
            return tf.sparse.slice(tensor, start, tf.concat([[tf.cast(end - begin, tf.int64)], rest], 0))
        return None if tensor is None else tensor[begin:end]

    return tf.nest.map_structure(cut, batch)
