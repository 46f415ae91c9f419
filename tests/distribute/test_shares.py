"""Every example of a batch falls to exactly one replica, whatever the tensors are."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from mtl_keras.distribute.shares import bounds, own_share

THREE = tiny.replicas(3)


@pytest.mark.parametrize("replicas", [1, 2, 3, 8])
def test_shares_are_even_and_complete(replicas):
    for length in range(1, 20):
        found = [[int(v) for v in bounds(tf.constant(length), index, replicas)] for index in range(replicas)]
        real = [range(begin, end) for begin, end, is_real in found if is_real]
        assert [i for part in real for i in part] == list(range(length))
        assert len(real) == min(length, replicas)
        assert max(map(len, real)) - min(map(len, real)) <= 1
        assert all(0 <= begin < length and end == begin + 1 for begin, end, is_real in found if not is_real)


def shares(batch):
    """What each replica gets of a batch, computed in a graph that knows no size, and whether it is real."""

    @tf.function(input_signature=[tf.nest.map_structure(_any_length, batch)])
    def step(batch):
        return THREE.run(lambda batch: tuple(own_share(batch)), args=(batch,))

    parts, real = step(batch)
    local = THREE.experimental_local_results
    split = [local(part) for part in tf.nest.flatten(parts)]
    return [[piece[i] for piece in split] for i in range(3)], [bool(r) for r in local(real)]


def _any_length(tensor):
    if isinstance(tensor, tf.RaggedTensor):
        return tf.RaggedTensorSpec([None, None], tensor.dtype)
    if isinstance(tensor, tf.SparseTensor):
        return tf.SparseTensorSpec([None, 4], tensor.dtype)
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)


def batch_of(n):
    x = {
        "image": tf.reshape(tf.range(n * 2.0), [n, 2]),
        "name": tf.constant([f"file{i}" for i in range(n)]),
        "boxes": tf.ragged.constant([[i] * (i % 3) for i in range(n)], dtype=tf.int32, ragged_rank=1),
        "words": tf.sparse.from_dense(tf.eye(n, 4) * 5.0),
    }
    return x, {"a": tf.range(n)}


@pytest.mark.parametrize("n", [7, 2])
def test_dense_string_ragged_and_sparse_parts_stay_together(n):
    batch = batch_of(n)
    found, real = shares(batch)
    assert real.count(True) == min(n, 3)
    flat = tf.nest.flatten(batch)  # dicts by sorted key: boxes, image, name, words, a
    pieces = [piece for piece, is_real in zip(found, real, strict=True) if is_real]
    for i, whole in enumerate(flat):
        parts = [piece[i] for piece in pieces]
        if isinstance(whole, tf.SparseTensor):
            parts, whole = [tf.sparse.to_dense(part) for part in parts], tf.sparse.to_dense(whole)
        again = tf.concat(parts, axis=0)
        if isinstance(whole, tf.RaggedTensor):
            assert again.to_list() == whole.to_list()
        else:
            np.testing.assert_array_equal(again, whole)
    assert all(piece[1].shape[0] >= 1 for piece in found)


def test_batches_of_one_size_keep_their_static_shapes_and_missing_parts():
    seen = []

    @tf.function(input_signature=[tf.TensorSpec([7, 2]), tf.TensorSpec([7])])
    def step(x, y):
        def replica(batch):
            share = own_share(batch)
            seen.append((share.batch[0].shape, share.batch[1].shape, share.batch[2], share.real))
            return share.batch[0]

        return THREE.run(replica, args=((x, y, None),))

    step(tf.zeros([7, 2]), tf.zeros([7]))
    assert seen == [((2, 2), (2,), None, None), ((2, 2), (2,), None, None), ((3, 2), (3,), None, None)]
