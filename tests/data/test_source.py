"""Source: what it knows of its labels, and batches whose order follows from seed and epoch."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl
from mtl_keras import distribute
from mtl_keras.data import augment
from mtl_keras.data.order import EPOCHS

NAN = float("nan")


def made(n=50, seed=3, **kwargs):
    """A source whose one input is the number of the example."""
    numbers = np.arange(n, dtype="float32")[:, None]
    labels = {
        "colour": np.where(np.arange(n) % 5 == 0, "", np.where(np.arange(n) % 2, "red", "green")),
        "price": np.where(np.arange(n) % 4 == 0, NAN, np.arange(n) * 2.0),
        "tags": np.where(np.arange(n)[:, None] % 7 == 0, NAN, np.arange(2 * n).reshape(n, 2) % 2),
    }
    splits = mtl.data.Splits(val=0.2, test=0.2)
    return mtl.data.from_arrays(numbers, labels, splits=splits, seed=seed, input_name="number", **kwargs)


def order_of(dataset):
    return [int(value) for x, _, _ in dataset for value in x.numpy().ravel()]


def test_what_is_known_of_the_labels():
    source = made()
    assert source.sizes == {"train": 30, "val": 10, "test": 10}
    assert source.kinds["colour"].describe() == {"kind": "class", "labels": ["green", "red"]}
    assert source.kinds["tags"].describe() == {"kind": "multilabel", "labels": ["0", "1"]}
    train = order_of(source.batches(7, split="train"))
    assert source.label_counts("train") == {
        "colour": sum(i % 5 != 0 for i in train),
        "price": sum(i % 4 != 0 for i in train),
        "tags": sum(i % 7 != 0 for i in train),
    }
    prices = [2.0 * i for i in train if i % 4]
    price = source.kinds["price"]
    assert (price.mean, price.std) == pytest.approx((np.mean(prices), np.std(prices)))
    assert (price.low, price.high) == (min(prices), max(prices))


def test_splits_are_disjoint_and_complete():
    source = made()
    parts = [order_of(source.batches(4, split=split)) for split in ("train", "val", "test")]
    assert sorted(number for part in parts for number in part) == list(range(50))


def test_missing_labels_are_zero_with_weight_zero():
    source = made()
    for x, y, weights in source.batches(8, split="train"):
        number = x.numpy().ravel().astype(int)
        assert weights["colour"].numpy().tolist() == [float(i % 5 != 0) for i in number]
        assert y["colour"].numpy().tolist() == [i % 2 if i % 5 else 0 for i in number]
        assert y["price"].numpy().tolist() == [2.0 * i if i % 4 else 0.0 for i in number]
        assert weights["tags"].numpy().tolist() == [[float(i % 7 != 0)] * 2 for i in number]
        assert y["tags"].numpy().tolist() == [[0.0, float(i % 7 != 0)] for i in number]


def test_training_order_follows_from_seed_and_epoch():
    source = made()
    train = source.batches(6, training=True)
    epochs = [order_of(train) for _ in range(3)]
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    source.order.begin_epoch(1)
    assert order_of(train) == epochs[1]
    assert order_of(made().batches(6, training=True)) == epochs[0]
    assert order_of(made(seed=4).batches(6, training=True)) != epochs[0]
    # golden: another order would break the resumption of runs
    assert epochs[0][:10] == [21, 13, 29, 15, 38, 12, 40, 45, 26, 22]


def test_a_resumed_fit_sees_the_order_of_an_uninterrupted_one():
    def run(initial_epoch, epochs):
        source = made()
        seen = []

        class Note(mtl.MultiTaskModel):
            def train_step(self, data):
                tf.numpy_function(lambda x: seen.append(x.ravel().tolist()), [data[0]], [])
                return super().train_step(data)

        inputs = source.input()
        shared = keras.layers.Identity()(inputs)  # tasks have to share something
        outputs = {task.name: task.head(shared, task.name) for task in source.tasks()}
        model = Note(inputs, outputs, tasks=source.tasks())
        model.compile("sgd")
        model.fit(source.batches(6, training=True), initial_epoch=initial_epoch, epochs=epochs, verbose=0)
        return seen

    whole = run(0, 3)
    assert len(whole) == 15
    assert run(2, 3) == whole[10:]


def test_a_remainder_is_dropped_in_training_and_kept_in_evaluation():
    source = made()
    assert [len(x) for x, _, _ in source.batches(8, training=True)] == [8, 8, 8]
    assert [len(x) for x, _, _ in source.batches(8, split="train")] == [8, 8, 8, 6]
    assert len(source.batches(8, training=True)) == 3
    # fewer examples than a batch are one batch
    assert [len(x) for x, _, _ in source.batches(64, training=True)] == [30]


def test_under_a_strategy_evaluation_is_padded_and_says_the_same():
    def evaluate(strategy):
        source = made()
        with strategy.scope():
            keras.utils.set_random_seed(1)
            model = mtl.build(source.input(), _Flat(), source.tasks())
            model.compile(keras.optimizers.SGD(1e-4))  # inputs up to 50: a larger step leads to infinity
        train = source.batches(8, training=True, strategy=strategy)
        model.fit(train, epochs=1, verbose=0)
        batches = source.batches(8, split="train", strategy=strategy)
        return model.evaluate(batches, verbose=0, return_dict=True), batches

    two, padded = evaluate(distribute.strategy(tiny.replicas(2)))
    one, plain = evaluate(distribute.strategy("one"))
    assert [len(x) for x, _, _ in padded] == [8] * 4
    assert [len(x) for x, _, _ in plain] == [8, 8, 8, 6]
    assert two == pytest.approx(one, rel=1e-5)
    with pytest.raises(ValueError, match="Expected a batch size that 2 replicas can share evenly"):
        made().batches(7, strategy=tiny.replicas(2))


def test_augmentation_sees_training_examples_only_and_repeats_by_seed():
    def noise(seeds, x, y, w, classes):
        assert classes == {"colour": 2}
        drawn = tf.map_fn(lambda s: tf.random.stateless_uniform((1,), s), seeds, fn_output_signature=tf.float32)
        return {"number": x["number"] + 0.5 * drawn}, y, w

    drawn = {}
    for batch_size in (1, 8):
        batches = made().batches(batch_size, training=True, augment=noise)
        drawn[batch_size] = [np.concatenate([x for x, _, _ in batches]).ravel() for _ in range(2)]
    of_number = [dict(zip(np.floor(epochs[0]), epochs[0] % 1, strict=True)) for epochs in drawn.values()]
    assert all(of_number[0][number] == value for number, value in of_number[1].items())  # 8 drops some examples
    first, second = (dict(zip(np.floor(epoch), epoch % 1, strict=True)) for epoch in drawn[1])
    assert first.keys() == second.keys()
    assert all(first[number] != second[number] for number in first)
    for split in ("train", "val", "test"):
        for x, _, _ in made().batches(6, split=split, augment=noise):
            assert all(float(value).is_integer() for value in x.numpy().ravel())


def test_blended_examples_train_and_others_are_left_alone():
    """Class ids become probabilities for training only, class weights and missing labels included."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
    labels = {"shape": np.arange(40) % 3, "size": np.where(np.arange(40) % 2, 1.0, NAN)}
    source = mtl.data.from_arrays(images, labels)
    train = source.batches(8, training=True, augment=[augment.Flip(), augment.Noise(), augment.MixUp(1.0)])
    x, y, w = next(iter(train))
    assert x.dtype == tf.float32
    assert 0.0 <= float(tf.reduce_min(x)) < float(tf.reduce_max(x)) <= 1.0
    np.testing.assert_allclose(tf.reduce_sum(y["shape"], -1), np.ones(8), rtol=1e-6)
    assert ((w["size"] > 0) & (w["size"] < 1)).numpy().any()
    for x, y, _ in source.batches(8):
        assert y["shape"].dtype == tf.int32
        np.testing.assert_allclose(x * 255, np.round(x * 255), atol=1e-4)
    model = mtl.build(source.input(), mtl.sharing.Hard(mtl.trunks.Conv((4,))), source.tasks(balanced=True))
    model.compile("adam")
    history = model.fit(train, validation_data=source.batches(8), epochs=2, verbose=0).history
    assert np.isfinite([value for values in history.values() for value in values]).all()


def test_what_is_no_augmentation_is_refused():
    with pytest.raises(ValueError, match="Expected") as caught:
        made().batches(4, training=True, augment=0.5)
    assert str(caught.value) == (
        "Expected augmentations. Received: augment=0.5. Do pass e.g. [augment.Flip(), augment.Colour()]."
    )


def test_the_order_of_texts_is_never_guessed():
    with pytest.raises(ValueError, match="Expected ") as error:
        mtl.data.from_arrays(np.zeros((4, 2)), {"grade": ["b", "a", "c", "a"]}, kinds={"grade": "ordinal"})
    assert str(error.value) == (
        "Expected the order of the labels of task 'grade', from lowest to highest. Received: names=None. "
        "Do pass names={'grade': [...]}."
    )


def test_tasks_have_fitting_heads_and_balanced_weights():
    source = mtl.data.from_arrays(
        np.zeros((10, 2), "float32"),
        {"sex": [0, 0, 0, 0, 0, 0, 1, 1, -1, -1], "grade": ["b", "a", "c", "a", "b", "c", "a", "a", "b", "c"]},
        kinds={"grade": "ordinal"},
        names={"grade": ["c", "b", "a"]},
        splits=mtl.data.Splits(val=0, test=0),
    )
    sex, grade = source.tasks(balanced=True, grade={"hidden": (4,)})
    assert sex.class_weight == {0: 8 / 12, 1: 8 / 4}
    assert grade.head.get_config()["labels"] == ["c", "b", "a"]
    assert grade.head.hidden == [4]
    assert source.tasks()[0].class_weight is None


def test_rare_attributes_weigh_more_where_balance_is_asked_for():
    tags = np.array([[0, 1, 0], [0, 1, 0], [0, 0, np.nan], [1, 0, 0]])
    source = mtl.data.from_arrays(np.zeros((4, 2), "float32"), {"tags": tags}, splits=mtl.data.Splits(val=0, test=0))
    assert source.tasks(balanced=True)[0].head.pos_weight == [3.0, 1.0, 1.0]
    assert source.tasks(balanced=True, tags={"pos_weight": 2.0})[0].head.pos_weight == 2.0
    assert source.tasks()[0].head.pos_weight == 1.0
    assert source.class_weights("tags") is None


def test_pixels_become_floats_from_0_to_1():
    images = np.arange(256, dtype=np.uint8).reshape(4, 2, 2, 16)
    source = mtl.data.from_arrays(images, {"a": [0, 1, 0, 1]}, splits=mtl.data.Splits(val=0, test=0))
    x, _, _ = next(iter(source.batches(4, split="train")))
    assert x.dtype == tf.float32
    np.testing.assert_array_equal(x, images.astype("float32") * np.float32(1 / 255))  # every bit, as when exported
    assert source.before == {"image": {"scale": 1 / 255, "pixels": "0..255"}}
    assert source.input().shape == (None, 2, 2, 16)


def test_no_thread_tunes_batches_for_which_the_end_of_an_epoch_would_wait():
    source = mtl.data.from_arrays(np.zeros((4, 1), "float32"), {"a": [0, 1, 0, 1]}, splits=mtl.data.Splits(0, 0))
    for training in (True, False):
        assert source.batches(2, training=training, split="train").options().autotune.enabled is False


def test_several_inputs():
    inputs = {"image": np.zeros((6, 2, 2, 1), np.uint8), "age": np.ones((6, 1), "float32")}
    source = mtl.data.from_arrays(inputs, {"a": [0, 1] * 3}, splits=mtl.data.Splits(val=0, test=0))
    x, _, _ = next(iter(source.batches(6, split="train")))
    assert {name: (value.shape.as_list(), value.dtype) for name, value in x.items()} == {
        "image": ([6, 2, 2, 1], tf.float32),
        "age": ([6, 1], tf.float32),
    }
    assert sorted(source.input()) == ["age", "image"]


def test_a_value_that_training_has_not_seen_is_missing_and_counted():
    column = ["train"] * 4 + ["val"] * 2
    source = mtl.data.from_arrays(
        np.zeros((6, 1), "float32"),
        {"colour": ["a", "b", "a", "b", "a", "c"]},
        splits=mtl.data.Splits(column="part"),
        columns={"part": column},
    )
    assert source.about["unseen"] == {"colour": 1}
    _, y, weights = next(iter(source.batches(2)))
    assert (y["colour"].numpy().tolist(), weights["colour"].numpy().tolist()) == ([0, 0], [1.0, 0.0])


def test_errors_name_what_is_wrong():
    x = np.zeros((10, 2), "float32")
    classes = np.arange(10) % 2

    def refused(text, x=x, y=None, **kwargs):
        with pytest.raises(ValueError, match=text):
            mtl.data.from_arrays(x, y or {"a": classes}, **kwargs)

    refused("as many in every array. Received: lengths={'image': 10, 'a': 9}", y={"a": classes[:9]})
    refused(
        "finite values in input 'image'. Received: first_row=3, rows=1", x=np.where(np.arange(10)[:, None] == 3, NAN, x)
    )
    refused(
        r"at least two different labels of task 'a' to train on\. Received: labels=\['0'\]", y={"a": np.zeros(10, int)}
    )
    refused(
        "class ids from 0, or -1 where missing. Received: row=2, value=-2", y={"a": np.where(np.arange(10) == 2, -2, 1)}
    )
    refused("finite numbers, or NaN where missing. Received: row=0", y={"a": np.where(np.arange(10) == 0, np.inf, 1.5)})
    refused("a kind among .* for task 'a'. Do choose one|Received: kind='klass'", kinds={"a": "klass"})
    refused("a column among", splits=mtl.data.Splits(group="person"))
    refused("a label of task 'a' to train on", y={"a": np.full(10, NAN)})
    refused(r"labels \[N\] or \[N, A\] for task 'a'. Received: shape=\(10, 2, 2\)", y={"a": np.zeros((10, 2, 2))})
    refused(r"labels by task\. Received: y='list'", y=[1])
    refused("kinds and names of tasks among", names={"b": ("x", "y")})
    refused("as many labels of task 'a' for every example", y={"a": [[1]] * 9 + [[1, 2]]})
    refused(
        "a name for each of the 3 attributes of task 'a'. Received: names=",
        y={"a": np.ones((10, 3))},
        names={"a": ("x", "y")},
    )
    refused("inputs and tasks of different names", input_name="a")
    part = {"part": ["train"] * 8 + ["val"] * 2}
    refused(
        "a label of task 'a' in every split that has examples. Received: split='val', examples=2, labels=0",
        y={"a": np.where(np.arange(10) < 8, classes, -1)},
        splits=mtl.data.Splits(column="part"),
        columns=part,
    )
    source = mtl.data.from_arrays(x, {"a": classes}, splits=mtl.data.Splits(test=0))
    with pytest.raises(
        ValueError, match=r"a split that has examples. Received: split='test'. Do choose one of \['train', 'val'\]"
    ):
        source.batches(4, split="test")
    with pytest.raises(ValueError, match="a whole batch size of at least 1"):
        source.batches(0)
    with pytest.raises(ValueError, match="a whole seed from 0 to 2147483647"):
        mtl.data.from_arrays(x, {"a": classes}, seed=-1)


def test_epochs_beyond_the_last_key_do_not_reach_the_next_seed():
    order = mtl.data.EpochOrder(seed=0)
    order.begin_epoch(EPOCHS)
    assert int(next(iter(order.keys()))) == 0


class _Flat(mtl.sharing.Hard):
    """No trunk: the heads read the input."""

    def __init__(self):
        super().__init__(mtl.trunks.Conv((4,)))

    def __call__(self, inputs, names):
        return dict.fromkeys(names, keras.layers.Dense(3, name="shared")(inputs))

    def preprocessing(self):
        return {}
