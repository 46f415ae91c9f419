"""Several data sets as one: shares, order, labels that the others lack, and what a step makes of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from data.tfrecord.record_files import example, write
from PIL import Image

import mtl_keras as mtl
from mtl_keras.data import Splits, mix
from mtl_keras.data.shares import Shares
from mtl_keras.images import ImageFormat


def source(first, count, seed=0, splits=None, **labels):
    """A source of the numbers from `first` on, shape (1,)."""
    x = np.arange(first, first + count, dtype="float32")[:, None]
    return mtl.data.from_arrays(x, labels, splits=splits or Splits(0, 0), seed=seed, input_name="number")


def three(**kwargs):
    """800 numbers with a class, 150 from 1000 on with a number, 50 from 2000 on with both and attributes."""
    return mix(
        {
            "big": source(0, 800, colour=np.arange(800) % 3),
            "middle": source(1000, 150, price=np.arange(150) * 2.0),
            "small": source(
                2000, 50, colour=np.arange(50) % 3, price=np.arange(50) * 1.0, tags=np.eye(50, dtype=int)[:, :2]
            ),
        },
        **kwargs,
    )


def epoch_of(dataset):
    """Numbers of one epoch in order."""
    return [int(number) for x, _, _ in dataset for number in x[:, 0].numpy()]


def counts_of(numbers):
    """How many of each data set."""
    return np.bincount(np.array(numbers) // 1000, minlength=3)


@pytest.mark.parametrize(
    ("by", "shares"),
    [
        ("size", [0.8, 0.15, 0.05]),
        ("uniform", [1 / 3, 1 / 3, 1 / 3]),
        (2.0, np.sqrt([0.8, 0.15, 0.05]) / np.sqrt([0.8, 0.15, 0.05]).sum()),
        (1, [0.8, 0.15, 0.05]),
        ({"small": 2, "big": 1, "middle": 1}, [0.25, 0.25, 0.5]),
    ],
)
def test_shares_are_reached_within_one_example(by, shares):
    mixed = three(by=by, seed=3)
    dataset = mixed.batches(10, training=True)
    assert int(dataset.cardinality()) == 100
    numbers = epoch_of(dataset)
    assert len(numbers) == 1000
    assert np.abs(counts_of(numbers) - 1000 * np.array(shares)).max() <= 1
    for first, size in ((0, 800), (1000, 150), (2000, 50)):
        mine = np.array([number for number in numbers if first <= number < first + size])
        often = np.bincount(mine - first, minlength=size)
        assert often.max() - often.min() <= 1  # gone through evenly, however often
    if by == "size":
        thirds = [counts_of(part)[0] for part in np.array_split(np.array(numbers), 10)]
        assert 60 < min(thirds) <= max(thirds) < 97  # spread over the epoch


def test_order_follows_from_seed_and_epoch():
    mixed = three(by="uniform", seed=3)
    dataset = mixed.batches(10, training=True)
    epochs = [epoch_of(dataset) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    mixed.order.begin_epoch(1)
    assert epoch_of(dataset) == epochs[1]
    assert epoch_of(three(by="uniform", seed=3).batches(10, training=True)) == epochs[0]
    assert epoch_of(three(by="uniform", seed=4).batches(10, training=True)) != epochs[0]
    few = [{n for n in epoch if n < 1000} for epoch in epochs]
    assert len(few[0] | few[1] | few[2]) > 500  # other examples of the large one in every epoch


def test_labels_of_the_others_are_missing():
    mixed = three(by="uniform")
    assert mixed.task_names == ["colour", "price", "tags"]
    assert mixed.label_counts() == {"colour": 850, "price": 200, "tags": 50}
    for batches in (mixed.batches(100, training=True), mixed.batches(100, split="train")):
        for x, y, w in batches:
            part = x[:, 0].numpy() // 1000
            np.testing.assert_array_equal(w["colour"], part != 1)
            np.testing.assert_array_equal(w["price"], part != 0)
            np.testing.assert_array_equal(w["tags"], np.repeat(part[:, None] == 2, 2, axis=1))
            colour = np.where(part != 1, x[:, 0].numpy() % 1000 % 3, 0)
            np.testing.assert_array_equal(y["colour"], colour)
            assert np.isfinite(y["price"]).all()
            assert np.isfinite(y["tags"]).all()


def test_other_splits_are_all_examples_once():
    parts = {
        "a": source(0, 40, splits=Splits(0.2, 0), k=np.arange(40) % 2),
        "b": source(1000, 20, splits=Splits(0.5, 0), j=np.arange(20) % 2),
    }
    mixed = mix(parts, by="uniform")
    assert mixed.sizes == {"train": 42, "val": 18}
    everything = [n for split in mixed.sizes for n in epoch_of(mixed.batches(7, split=split))]
    assert sorted(everything) == [*range(40), *range(1000, 1020)]
    assert epoch_of(mixed.batches(7)) == epoch_of(parts["a"].batches(7)) + epoch_of(parts["b"].batches(7))


def test_annealing_moves_the_shares():
    sizes = {"a": 900, "b": 100}
    exponents = Shares(sizes, "size", ("uniform", 4))
    ratio = [of[0] / of[1] for of in map(exponents.of, range(6))]
    np.testing.assert_allclose(ratio, [9.0, 9**0.75, 9**0.5, 9**0.25, 1.0, 1.0])
    lines = Shares(sizes, {"a": 1, "b": 3}, ("size", 2))
    np.testing.assert_allclose([lines.of(epoch)[0] for epoch in range(4)], [0.25, 0.575, 0.9, 0.9])
    mixed = three(by="size", anneal=("uniform", 2), epoch_size=300)
    dataset = mixed.batches(10, training=True)
    assert int(dataset.cardinality()) == 30
    found = [counts_of(epoch_of(dataset)).tolist() for _ in range(4)]
    assert found[0] == [240, 45, 15]
    assert found[2] == found[3] == [100, 100, 100]
    assert 100 < found[1][0] < 240
    mixed.order.begin_epoch(1)  # as a resumed run does
    assert counts_of(epoch_of(dataset)).tolist() == found[1]


def test_one_data_set_per_batch():
    mixed = three(by={"big": 2, "middle": 1, "small": 1})
    dataset = mixed.task_batches(20)
    assert int(dataset.cardinality()) == 50
    of_batch = []
    for x, _, w in dataset:
        (part,) = set((x[:, 0].numpy() // 1000).tolist())
        of_batch.append(part)
        assert bool(tf.reduce_all(w["tags"] == float(part == 2)))
    assert np.bincount(np.array(of_batch, int)).tolist() == [25, 13, 12]
    assert len(set(of_batch[:10])) > 1
    first, second = epoch_of(dataset), epoch_of(dataset)
    assert first != second
    mixed.order.begin_epoch(1)
    assert epoch_of(dataset) == first
    with pytest.raises(ValueError, match="Expected") as caught:
        mixed.task_batches(64)
    assert str(caught.value) == (
        "Expected a batch that each data set can fill, and as many batches as data sets. "
        "Received: batch_size=64, sizes=[800, 150, 50]. Do choose a smaller batch_size."
    )


def test_a_step_without_a_tasks_labels_leaves_its_head_alone():
    mixed = mix(
        {
            "a": source(0, 40, left=np.arange(40) % 3),
            "b": source(1000, 40, right=np.arange(40) % 2),
        },
        by="uniform",
    )
    model = mtl.build(mixed.input(), mtl.sharing.Hard(trunk()), mixed.tasks())
    model.compile(keras.optimizers.SGD(0.1), weighting="pcgrad")
    for batch in mixed.task_batches(10).take(4):
        absent = "right" if float(tf.reduce_sum(batch[2]["left"])) else "left"
        before = {name: [v.numpy() for v in model.get_layer(f"{name}_logits").weights] for name in ("left", "right")}
        model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
        for name, weights in before.items():
            moved = any(
                (v.numpy() != old).any()
                for v, old in zip(model.get_layer(f"{name}_logits").weights, weights, strict=True)
            )
            assert moved == (name != absent)
    history = model.fit(mixed.batches(10, training=True), epochs=2, verbose=0).history
    assert np.isfinite([value for values in history.values() for value in values]).all()


def trunk():
    """Features of numbers."""

    class Dense(mtl.trunks.Trunk):
        def stages(self, name="trunk"):
            return [keras.layers.Dense(8, "relu", name=f"{name}_dense")]

    return Dense()


def test_mixtures_are_parts_too_and_what_comes_again_is_augmented_in_another_way():
    few = mix({"a": source(0, 6, left=np.arange(6) % 3), "b": source(1000, 4, right=np.arange(4) % 2)}, epoch_size=40)
    mixed = mix({"few": few, "many": source(2000, 30, left=np.arange(30) % 3)}, by="uniform", epoch_size=120)

    def note(seeds, x, y, w, classes):
        return {"number": tf.concat([x["number"], tf.cast(seeds, tf.float32)], axis=1)}, y, w

    seen = set()
    for x, y, w in mixed.batches(10, training=True, augment=note):
        for (number, *seed), left, right, has in zip(x.numpy(), y["left"], y["right"], w["left"], strict=True):
            seen.add((number, *seed))
            assert float(has) == (number // 1000 != 1)
            assert int(left) == (number % 1000 % 3 if has else 0)
            assert int(right) == (0 if has else number % 1000 % 2)
    assert len(seen) == 120
    assert len({number for number, *_ in seen}) == 40


def test_tasks_of_the_same_name_are_one_or_an_error():
    one, two = source(0, 30, age=np.arange(30) * 1.0), source(100, 10, age=np.arange(10) + 100.0)
    kind = mix({"one": one, "two": two}).kinds["age"]
    both = np.concatenate([np.arange(30) * 1.0, np.arange(10) + 100.0])
    assert kind.mean == pytest.approx(both.mean())
    assert kind.std == pytest.approx(both.std())
    assert (kind.low, kind.high) == (0.0, 109.0)
    for other, expected in (
        (
            source(0, 10, age=np.arange(10) % 2),
            "the same labels of task 'age' in every data set. Received: "
            "one={'kind': 'number', 'unit': '', 'range': [0.0, 29.0]}, two={'kind': 'class', 'labels': ['0', '1']}. "
            "Do give the tasks different names, or the labels the same.",
        ),
        (
            mtl.data.from_arrays(np.zeros((10, 2), "float32"), {"b": np.arange(10) % 2}, input_name="number"),
            "the same inputs in every data set (inputs). Received: "
            "one={'number': TensorSpec(shape=(1,), dtype=tf.float32, name=None)}, "
            "two={'number': TensorSpec(shape=(2,), dtype=tf.float32, name=None)}. "
            "Do read them with the same size and preprocessing.",
        ),
    ):
        with pytest.raises(ValueError, match="Expected") as caught:
            mix({"one": one, "two": other})
        assert str(caught.value) == f"Expected {expected}"


def test_image_files_image_records_and_arrays_go_together(tmp_path):
    names, pixels = ["red", "blue"] * 10, np.zeros((20, 4, 4, 3), np.uint8)
    Image.fromarray(pixels[0]).save(tmp_path / "black.png")
    (tmp_path / "photos.csv").write_text("path,colour\n" + "".join(f"black.png,{name}\n" for name in names))
    record = example(image=(tmp_path / "black.png").read_bytes(), size=[3.0])
    records = write(tmp_path / "a.tfrecord", [record] * 20)

    def parts(resize):
        images = {"image": mtl.data.tfrecord.ImageFile(ImageFormat(4, 4, resize))}
        return {
            "arrays": mtl.data.from_arrays(pixels, {"colour": names}),
            "files": mtl.data.from_csv(tmp_path / "photos.csv", "path", ["colour"], image_size=4),
            "records": mtl.data.from_tfrecord(records, images, ["size"]),
        }

    alike = parts("fit")
    both = mix(alike)
    assert both.before == alike["files"].before == alike["records"].before
    assert (both.sizes["train"], both.task_names) == (48, ["colour", "size"])
    with pytest.raises(ValueError, match=r"Expected the same inputs in every data set \(before\)\. Received: arrays="):
        mix(parts("fill"))


def test_arguments_out_of_range_are_named():
    known = "by as 'size', 'uniform', a temperature above 0, or {data set: share}"
    for arguments, expected in (
        ({"by": "large"}, f"{known}. Received: by='large'. Do correct it."),
        ({"by": 0}, f"{known}. Received: by=0. Do correct it."),
        (
            {"by": {"big": 1}},
            "a share for each of ['big', 'middle', 'small']. Received: shares=['big']. Do correct the keys of by.",
        ),
        (
            {"by": {"big": 1, "middle": 0, "small": 1}},
            "shares above 0. Received: shares={'big': 1, 'middle': 0, 'small': 1}. Do leave a data set out instead.",
        ),
        (
            {"by": {"big": 1, "middle": "x", "small": 1}},
            "shares above 0. Received: shares={'big': 1, 'middle': 'x', 'small': 1}. Do leave a data set out instead.",
        ),
        (
            {"anneal": "uniform"},
            "anneal as (by, number of epochs). Received: anneal='uniform'. Do pass e.g. anneal=('uniform', 10).",
        ),
        (
            {"epoch_size": 2},
            "an epoch of at least one example per data set. Received: epoch_size=2. Do choose another size.",
        ),
    ):
        with pytest.raises(ValueError, match="Expected") as caught:
            three(**arguments)
        assert str(caught.value) == f"Expected {expected}"
    for sources in ({}, {"a": 1}, [1]):
        with pytest.raises(ValueError, match=r"Expected at least one source, by name\. Received: sources="):
            mix(sources)
    with pytest.raises(ValueError, match="a whole batch size of at least 1"):
        three().task_batches(0)
