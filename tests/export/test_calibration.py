"""Calibration examples: balanced over tasks, seeded, from every kind of data."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mtl_keras as mtl
from mtl_keras.export import calibration_examples


def model():
    """Two tasks on a number that tells which example it is."""
    x = keras.Input((1,), name="x")
    return keras.Model(x, {"kind": keras.layers.Dense(3)(x), "size": keras.layers.Dense(1)(x)})


def data(count=400, seed=0):
    """Of 400 examples 4 are of class 2 and 12 of class 1; sizes are skewed and have nothing to do with it."""
    rng = np.random.default_rng(seed)
    kind = np.zeros(count, int)
    kind[:4], kind[4:16] = 2, 1
    return np.arange(count, dtype="float32")[:, None], {
        "kind": rng.permutation(kind),
        "size": rng.exponential(size=count),
    }


def chosen(source, **arguments):
    return calibration_examples(model(), source, **arguments)["x"][:, 0].astype(int)


def test_rare_classes_and_sizes_are_among_the_examples():
    x, y = data()
    picked = chosen((x, y), examples=24)
    assert len(set(picked)) == 24
    counts = np.bincount(y["kind"][picked], minlength=3)
    assert counts[2] == 4  # all there are
    assert counts[1] >= 6
    octiles = np.searchsorted(np.quantile(y["size"], np.linspace(0, 1, 9)[1:-1]), y["size"][picked])
    assert min(np.bincount(octiles, minlength=8)) >= 1
    # chance alone would give a quarter of an example of class 2
    assert np.bincount(y["kind"][chosen(x, examples=24)], minlength=3)[2] < 4


def test_the_choice_follows_the_seed():
    x, y = data()
    first = chosen((x, y), examples=20, seed=3)
    np.testing.assert_array_equal(first, chosen((x, y), examples=20, seed=3))
    assert set(first) != set(chosen((x, y), examples=20, seed=4))
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(64)
    np.testing.assert_array_equal(first, chosen(batches, examples=20, seed=3))


def test_missing_labels_do_not_count():
    x, y = data()
    y["size"] = np.full(400, np.nan)
    y["kind"][y["kind"] == 2] = -1
    weights = {"kind": np.ones(400)}
    weights["kind"][y["kind"] == 1] = 0
    picked = chosen((x, y, weights), examples=100)
    # only class 0 is left to count: every pick but the last few has it
    assert (y["kind"][picked] == 0).sum() == 100


def test_attributes_and_labels_of_elements():
    x = np.arange(200, dtype="float32")[:, None]
    attributes = np.zeros((200, 2))
    attributes[:3, 1] = 1
    picked = chosen((x, {"kind": attributes, "size": np.zeros((200, 5, 5))}), examples=10)
    assert {0, 1, 2} <= set(picked)


def test_data_sources_give_their_training_split():
    x, y = data()
    source = mtl.data.from_arrays({"x": x}, {"kind": y["kind"], "size": y["size"]})
    picked = chosen(source, examples=30)
    training = {int(v) for batch in source.batches(64, split="train") for v in np.asarray(batch[0]).ravel()}
    assert set(picked) <= training
    assert len(picked) == 30


def test_fewer_examples_than_wanted_are_all_taken():
    x, y = data(5)
    assert sorted(chosen((x[:5], {"kind": y["kind"][:5]}), examples=50)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("given", "arguments", "said"),
    [
        (
            (np.zeros((0, 1)), {"kind": np.zeros(0)}),
            {},
            "Expected at least one batch of data. Received: batches=0. Do check the file or filter behind it.",
        ),
        (
            tf.data.Dataset.from_tensors(np.zeros((1, 1), "float32")).repeat(),
            {},
            "Expected a dataset with an end. Received: cardinality='infinite'. Do end it with dataset.take(n).",
        ),
        (
            {"y": np.zeros((3, 1))},
            {},
            "Expected the inputs ['x'] by name. Received: inputs=['y']. Do let the data give {name: batch}.",
        ),
        (
            np.array([[np.nan]], "float32"),
            {},
            "Expected finite examples of input 'x'. Received: values='NaN or infinite'. Do correct the data.",
        ),
        (
            np.zeros((3, 1)),
            {"examples": 0},
            "Expected a whole number of examples, at least 1. Received: examples=0. Do pass 200.",
        ),
        (
            "data.npz",
            {},
            "Expected a data source, a tf.data.Dataset of batches, or arrays (x, {task: y}) of equal lengths. "
            "Received: type='str'. Do check the data.",
        ),
    ],
)
def test_what_is_refused(given, arguments, said):
    with pytest.raises(ValueError, match=r"^Expected ") as error:
        calibration_examples(model(), given, **arguments)
    assert str(error.value) == said
