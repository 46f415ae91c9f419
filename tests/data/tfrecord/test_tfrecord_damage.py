"""Records whose inputs are damaged are named before training, and packed files give what lies before the damage."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny
from record_files import example, jpeg, numbered, write

import mtl_keras as mtl
from mtl_keras.data import Column, Splits, tfrecord
from mtl_keras.training.graph_errors import readable

PNG = tfrecord.Png((6, 5, 3)).write(np.arange(90, dtype=np.uint8).reshape(6, 5, 3)).bytes_list.value[0]


@pytest.mark.parametrize(
    ("feature", "whole", "damaged", "expected"),
    [
        (tfrecord.ImageFile(8), jpeg(40, 40), jpeg(40, 40)[:-30], "an image file that is whole"),
        (tfrecord.ImageFile(8), jpeg(40, 40), b"", "an image file (JPEG, PNG, BMP, GIF or WebP)"),
        (tfrecord.ImageFile(8), PNG, PNG[:60] + bytes(9) + PNG[69:], "an image file that is whole"),
        (tfrecord.Png((6, 5, 3)), PNG, PNG[:-1], "a PNG image of 6x5 pixels"),
        (tfrecord.Png((6, 5, 3)), PNG, PNG[:60] + bytes(9) + PNG[69:], "a PNG image of 6x5 pixels"),
        (tfrecord.Raw((2, 2, 3)), bytes(12), bytes(11), "12 bytes, for uint8 of shape [2, 2, 3]"),
    ],
    ids=["cut JPEG", "empty", "corrupt PNG of any size", "cut PNG", "corrupt PNG", "too few bytes"],
)
def test_a_damaged_input_is_named_by_file_and_record(tmp_path, feature, whole, damaged, expected):
    records = [example(image=damaged if n == 5 else whole, label=n % 2) for n in range(12)]
    file = write(tmp_path / "a.tfrecord", records)
    tiny.refused(
        lambda: mtl.data.from_tfrecord(file, {"image": feature}, ["label"], splits=Splits(0, 0)),
        f"Expected {expected}. Received: file='{file}', record=5, feature='image', found='{len(damaged)} bytes', "
        "bad_records=1. Do replace the file, or skip bad records.",
    )
    source = mtl.data.from_tfrecord(file, {"image": feature}, ["label"], splits=Splits(0, 0), skip_bad=True)
    assert source.about["left_out_because"] == {f"image: {expected}": 1}
    assert sum(len(x) for x, _, _ in source.batches(4, split="train")) == 11


def test_headers_alone_are_looked_at_where_asked_for(tmp_path):
    records = [example(image=jpeg(40, 40)[:-30] if n == 5 else jpeg(40, 40), label=n % 2) for n in range(12)]
    feature = tfrecord.ImageFile(8, check="headers")
    file = write(tmp_path / "a", records)
    source = mtl.data.from_tfrecord(file, {"image": feature}, ["label"], Splits(0, 0))
    assert source.about["used"] == 12
    # what nobody looked at shows while training
    data = source.batches(12, split="train")
    with pytest.raises(ValueError, match="Expected an image file that is whole") as error, readable(data):
        list(data)
    assert f"as it was before training. Received: file='{file}', record=5." in str(error.value)
    source = mtl.data.from_tfrecord(file, {"image": feature}, ["label"], Splits(0, 0), skip_bad=tmp_path / "bad.csv")
    assert [float(w["label"].numpy().sum()) for _, _, w in source.batches(12, split="train")] == [11.0]
    assert source.lost == {file: 1}
    assert (tmp_path / "bad.csv").read_text().splitlines()[1:] == [f"{file},5,,,inputs that can be read,"]


def test_fuzz_packed_files_give_what_lies_before_the_damage(tmp_path):
    """Every record that the look found is read in training too, whose own reader would give up earlier."""
    rng = np.random.default_rng(3)
    for number in range(40):
        records = [example(x=[float(n), float(number)], label=n % 2) for n in range(60)]
        file = Path(write(tmp_path / f"{number}.gz", records, "GZIP"))
        data = bytearray(file.read_bytes())
        kind, at = number % 4, int(rng.integers(len(data)))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = rng.bytes(5)
        file.write_bytes(data)
    features = {"x": tf.io.FixedLenFeature([2], tf.float32)}
    source = mtl.data.from_tfrecord(str(tmp_path / "*.gz"), features, ["label"], Splits(0, 0), skip_bad=True)
    about = source.about
    assert about["records"] == about["used"] + about["left_out"]
    seen = np.concatenate([x for x, _, _ in source.batches(64, split="train")])
    assert len(seen) == about["used"]
    lost = {Path(file).stem for file in about["not_read_to_the_end"]}
    for number in range(40):
        mine = seen[seen[:, 1] == number, 0]
        np.testing.assert_array_equal(mine, np.arange(len(mine)))
        assert len(mine) == 60 or str(number) in lost
    assert 10 < len(lost) <= 30
    assert 10 * 60 < len(seen) < 36 * 60


def test_what_divides_the_records_has_to_be_there_and_may_be_a_label(tmp_path):
    file = write(tmp_path / "a.tfrecord", numbered(12))
    features = {"x": tf.io.FixedLenFeature([2], tf.float32)}
    for splits in (Splits(column="who"), Splits(group="who")):
        tiny.refused(
            lambda splits=splits: mtl.data.from_tfrecord(file, features, ["colour"], splits=splits),
            f"Expected a feature that records have, to divide them by. Received: feature='who', files=['{file}']. "
            "Do correct the name; the first record has ['colour', 'size', 'x'].",
        )
    source = mtl.data.from_tfrecord(file, features, ["colour"], splits=Splits(0, 0, group="colour"))
    assert source.sizes == {"train": 12}


def test_what_the_user_states_wrongly_is_not_blamed_on_the_files(tmp_path):
    file = write(tmp_path / "a.tfrecord", numbered(12, same=0))
    two = {"x": tf.io.FixedLenFeature([2], tf.float32)}
    no_record_fits = "says of the feature, which no record fits"
    where = f"Received: file='{file}', record=0, feature="
    for features, tasks, expected in (
        (
            two,
            {"looks": Column(columns=("same", "shade"))},
            f"a feature that records have, with labels of task 'looks'. Received: feature='shade', files=['{file}']. "
            "Do correct the name; the first record has ['colour', 'same', 'size', 'x'].",
        ),
        (
            two,
            ["same"],
            f"at least two different labels of task 'same' to train on. Received: feature='same', files=['{file}'], "
            "labels=['0']. Do leave the task out, or add examples of another class.",
        ),
        (
            two,
            {"colour": Column(missing="?")},
            "nothing but kind, columns, names, low, high, unit in the Column of task 'colour', as this source uses no "
            "more. Received: missing=('?',). Do leave the rest out.",
        ),
        (
            {"x": tf.io.FixedLenFeature([3], tf.float32)},
            ["colour"],
            f"3 values as float_list. {where}'x', found='2 values as float_list', bad_records=12. "
            f"Do correct what features= {no_record_fits}.",
        ),
        (
            two,
            ["colour:number"],
            f"numbers as labels of kind 'number'. {where}'colour', found='red', bad_records=12. "
            f"Do correct what tasks= {no_record_fits}.",
        ),
        (
            two,
            {"colour": Column(names=("blue", "red"))},
            "a label among ['blue', 'red']. Received: "
            f"file='{file}', record=1, feature='colour', found='green', bad_records=4. "
            "Do correct the label or what tasks= says of it, or skip bad records.",
        ),
        (
            ["x"],
            ["colour"],
            "a dict by input of how each is stored. Received: features=['x']. "
            'Do pass e.g. features={"image": tfrecord.ImageFile(64)}.',
        ),
    ):
        tiny.refused(
            lambda features=features, tasks=tasks: mtl.data.from_tfrecord(file, features, tasks), f"Expected {expected}"
        )
    for made, expected in (
        (
            lambda: tfrecord.Numbers((-1,)),
            "a shape of whole numbers from 1. Received: shape=(-1,). Do state every size.",
        ),
        (
            lambda: tfrecord.Raw([None, 2]),
            "a shape of whole numbers from 1. Received: shape=(None, 2). Do state every size.",
        ),
        (lambda: tfrecord.Numbers(2, "flo"), "a dtype of numbers. Received: dtype='flo'. Do pass e.g. 'float32'."),
        (lambda: tfrecord.Raw(2, "string"), "a dtype of numbers. Received: dtype='string'. Do pass e.g. 'float32'."),
        (
            lambda: mtl.data.from_tfrecord(file, two, ["colour"], splits=0.2),
            "splits as Splits. Received: splits=0.2. Do pass e.g. Splits(val=0.1, test=0.1).",
        ),
    ):
        tiny.refused(made, f"Expected {expected}")
    assert tfrecord.Raw([2], np.int32) == tfrecord.Raw(2, tf.int32) == tfrecord.Raw((2,), "int32")
    for pattern in (5, [5], None, b"x"):
        tiny.refused(
            lambda pattern=pattern: mtl.data.from_tfrecord(pattern, two, ["colour"]),
            f"Expected a path, a list of paths, or a dict of them by split. Received: pattern={pattern!r}. "
            "Do pass e.g. 'photos-*.tfrecord', or {'train': 'train-*', 'val': 'val-*'}.",
        )
