"""TFRecord files as a source: what was written comes back, foreign files are read, bad records are named."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from record_files import example, jpeg, numbered, write

import mtl_keras as mtl
from mtl_keras.data import Column, Splits, tfrecord
from mtl_keras.data.baselines import baselines
from mtl_keras.training.graph_errors import readable

X = {"x": tf.io.FixedLenFeature([2], tf.float32)}
NAN = float("nan")


def numbers_of(dataset):
    """The numbers of the examples of a dataset, in order, from `x`."""
    return [int(number) for x, _, _ in dataset for number in x[:, 0].numpy()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """40 + 40 + 20 records in three files."""
    folder = tmp_path_factory.mktemp("records")
    for index, (first, count) in enumerate(((0, 40), (40, 40), (80, 20))):
        write(folder / f"part-{index:05d}-of-00003", numbered(count, first))
    return folder


def opened(folder, **kwargs):
    return mtl.data.from_tfrecord(str(folder / "part-*"), X, ["colour", "size"], **kwargs)


def test_every_record_once_with_its_labels(folder):
    source = opened(folder)
    assert source.sizes == {"train": 80, "val": 10, "test": 10}
    assert source.kinds["colour"].names == ("blue", "green", "red")
    assert sum(source.label_counts(split)["size"] for split in source.sizes) == 75
    seen = []
    for split in source.sizes:
        dataset = source.batches(7, split=split)
        assert int(dataset.cardinality()) == -(-source.sizes[split] // 7)
        for x, y, w in dataset:
            for number, colour, size, known in zip(x[:, 0], y["colour"], y["size"], w["size"], strict=True):
                seen.append(int(number))
                assert source.kinds["colour"].names[colour] == ["red", "green", "blue"][int(number) % 3]
                assert bool(known) == (int(number) % 4 != 0)
                assert float(size) == (float(number) * 0.5 if known else 0.0)
    assert sorted(seen) == list(range(100))
    assert numbers_of(source.batches(7, split="val")) == sorted(numbers_of(source.batches(7, split="val")))
    assert source.about["records"] == source.about["used"] == 100
    # of the test split alone, though the labels of all records lie beside them
    train, test = (2 - np.array(numbers_of(source.batches(7, split=split))) % 3 for split in ("train", "test"))
    assert baselines(source)["colour"] == (test == np.bincount(train).argmax()).mean()


def test_order_follows_from_seed_and_epoch(folder):
    source = opened(folder, splits=Splits(0, 0))
    train = source.batches(10, training=True)
    epochs = [numbers_of(train) for _ in range(3)]
    assert all(sorted(epoch) == list(range(100)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    source.order.begin_epoch(1)
    assert numbers_of(train) == epochs[1]
    again = opened(folder, splits=Splits(0, 0))
    assert numbers_of(again.batches(10, training=True)) == epochs[0]
    other = opened(folder, splits=Splits(0, 0), seed=1)
    assert numbers_of(other.batches(10, training=True)) != epochs[0]
    near = np.abs(np.diff(epochs[0]))
    assert (near == 1).mean() < 0.2  # neighbours were taken apart
    small = opened(folder, splits=Splits(0, 0), shuffle_buffer=1)
    assert sorted(numbers_of(small.batches(10, training=True))) == list(range(100))


def test_a_file_per_split_or_a_feature_that_names_it(folder, tmp_path):
    parts = {"train": str(folder / "part-0000[01]*"), "val": str(folder / "part-00002*")}  # together, they are all
    source = mtl.data.from_tfrecord(parts, X, ["colour"])
    assert source.sizes == {"train": 80, "val": 20}
    assert numbers_of(source.batches(16)) == list(range(80, 100))
    names = [b"train", b"train", b"validation"]
    records = [example(x=[float(n)] * 2, kind=[n % 2], part=names[n % 3], who=[n // 10]) for n in range(60)]
    file = write(tmp_path / "a.tfrecord.gz", records, "GZIP")
    source = mtl.data.from_tfrecord(file, X, ["kind"], splits=Splits(column="part"))
    assert source.sizes == {"train": 40, "val": 20}
    assert numbers_of(source.batches(16)) == list(range(2, 60, 3))
    source = mtl.data.from_tfrecord(file, X, ["kind"], splits=Splits(0.3, 0.2, group="who"))
    groups = [{number // 10 for number in numbers_of(source.batches(8, split=split))} for split in source.sizes]
    assert sum(map(len, groups)) == 6
    assert set().union(*groups) == set(range(6))


def test_kinds_inferred_and_stated(tmp_path):
    records = [
        example(
            x=[1.0, 2.0], id=[n % 4], level=[float(n)], tags=[n % 2, 1, 0], hat=[n % 2], smile=[] if n < 3 else [1],
            age=[n],
        )
        for n in range(30)
    ]  # fmt: skip
    file = write(tmp_path / "a", records)
    tasks = {
        "id": None,
        "level": Column(unit="EUR", low=0),
        "tags": None,
        "face": Column("multilabel", columns=("hat", "smile")),
        "age": "number",
    }
    source = mtl.data.from_tfrecord(file, X, tasks, splits=Splits(0.1, 0))
    described = {task: kind.describe() for task, kind in source.kinds.items()}
    assert described["id"] == {"kind": "class", "labels": ["0", "1", "2", "3"]}
    assert described["level"]["unit"] == "EUR"
    assert described["tags"] == {"kind": "multilabel", "labels": ["0", "1", "2"]}
    assert described["face"] == {"kind": "multilabel", "labels": ["hat", "smile"]}
    assert described["age"]["kind"] == "number"
    weights = np.concatenate([w["face"] for split in source.sizes for _, _, w in source.batches(8, split=split)])
    assert weights.sum(axis=0).tolist() == [30, 27]


def test_encoded_images_of_any_size(tmp_path):
    records = [example(**{"image/encoded": jpeg(20 + n, 30, 8 * n)}, label=n % 2) for n in range(20)]
    file = write(tmp_path / "a", records)
    features = {"image": tfrecord.ImageFile(16, feature="image/encoded")}
    source = mtl.data.from_tfrecord(file, features, ["label:class"], splits=Splits(0.2, 0))
    assert source.inputs["image"] == tf.TensorSpec((16, 16, 3), tf.uint8)
    for x, _, _ in source.batches(4):
        assert x.shape[1:] == (16, 16, 3)
    greys = sorted(
        round(float(g) * 255 / 8) for s in source.sizes for x, _, _ in source.batches(4, split=s) for g in x[:, 8, 8, 0]
    )
    assert greys == list(range(20))
    described = {"height": 16, "width": 16, "channels": 3, "resize": "fit", "background": 255}
    assert source.before["image"]["image"] == described


def test_what_was_written_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    x = {
        "image": rng.integers(0, 256, (50, 6, 5, 3)).astype(np.uint8),
        "depth": rng.integers(0, 9, (50, 4)).astype(np.int16),
        "weight": rng.normal(size=(50, 2)).astype(np.float32),
        "steps": rng.integers(0, 2**40, (50, 1)),
    }
    labels = {
        "kind": [["a", "b", "c", ""][n % 4] for n in range(50)],
        "tags": np.where(rng.random((50, 3)) < 0.2, NAN, rng.integers(0, 2, (50, 3))),
        "price": np.where(np.arange(50) % 5 == 0, NAN, np.arange(50) * 1.5),
    }
    source = mtl.data.from_arrays(x, labels, seed=5)
    for images, shards in (("png", 3), ("raw", None)):
        files = mtl.data.write_tfrecord(source, tmp_path / images, shards=shards, images=images)
        assert [path.name for path in files["train"]][
            -1
        ] == f"train-{(shards or 1) - 1:05d}-of-{shards or 1:05d}.tfrecord"
        again = mtl.data.from_tfrecord(tmp_path / images, seed=5)
        assert again.kinds == source.kinds
        assert again.inputs == source.inputs
        assert again.before == source.before
        assert again.sizes == source.sizes
        for split in source.sizes:
            pairs = zip(source.batches(8, split=split), again.batches(8, split=split), strict=True)
            for one, other in pairs:
                tf.nest.map_structure(np.testing.assert_array_equal, one, other)
    with pytest.raises(ValueError, match="Expected") as caught:
        mtl.data.write_tfrecord(source, tmp_path / "png")
    assert str(caught.value) == (
        f"Expected a folder that is not there yet. Received: folder='{tmp_path / 'png'}'. "
        "Do pass overwrite=True, or another."
    )
    mtl.data.write_tfrecord(source, tmp_path / "png", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["png", "raw"]  # nothing unfinished is left


def damaged(tmp_path, change):
    """A written data set of 16 + 2 + 2 records in one shard per split, with its training shard changed."""
    source = mtl.data.from_arrays(
        np.arange(40, dtype="float32").reshape(20, 2), {"a": np.arange(20) % 2}, input_name="x"
    )
    files = mtl.data.write_tfrecord(source, tmp_path / "d", overwrite=True)
    path = files["train"][0]
    path.write_bytes(change(path.read_bytes()))
    return tmp_path / "d", path


def test_a_cut_file_and_a_wrong_checksum_are_named(tmp_path):
    size = None

    def measured(data):
        nonlocal size
        size = len(data) // 16
        return data

    damaged(tmp_path, measured)
    cut, counted = "a whole record: the file is cut off", "16 records"
    for change, expected, received in (
        (lambda d: d[: 3 * size + 20], cut, "record=3, rest_of_file='lost'"),
        (lambda d: d[: 3 * size], counted, "record=3, found='3 records', rest_of_file='lost'"),
        (
            lambda d: d[: 3 * size + 20] + b"?" + d[3 * size + 21 :],
            "a record with the right checksum",
            "record=3",
        ),
        (lambda d: d + d[:size], counted, "record=16, found='17 records', rest_of_file='lost'"),
    ):
        folder, path = damaged(tmp_path, change)
        with pytest.raises(ValueError, match="Expected") as caught:
            mtl.data.from_tfrecord(folder)
        assert str(caught.value) == (
            f"Expected {expected}. Received: file='{path}', {received}, bad_records=1. "
            "Do replace the file, or skip bad records."
        )


def test_bad_records_are_left_out_counted_and_listed(tmp_path):
    records = numbered(40)
    records[7] = b"no protocol buffer"
    records[9] = example(x=[1.0], colour=b"red", size=[2.0])
    records[11] = example(x=[1.0, NAN], colour=b"red", size=[2.0])
    records[13] = example(x=[1.0, 1.0], colour=[3], size=[2.0])
    records[15] = example(colour=b"red")
    records[17] = example(x=[1.0, 1.0], colour=b"purple", size=[2.0])
    records[19] = example(x=[1.0, 1.0], colour=b"red", size=[-2.0])
    path = Path(write(tmp_path / "a.tfrecord", records))
    data = bytearray(path.read_bytes())
    start = sum(len(record) + 16 for record in records[:21])
    data[start + 20] ^= 1
    path.write_bytes(data)
    tasks = {"colour": Column(names=("red", "green", "blue")), "size": Column(low=0)}
    with pytest.raises(ValueError, match="Expected") as caught:
        mtl.data.from_tfrecord(str(path), X, tasks)
    assert str(caught.value) == (
        f"Expected a tf.train.Example. Received: file='{path}', record=7, found='18 bytes', bad_records=8. "
        "Do replace the file, or skip bad records."
    )
    source = mtl.data.from_tfrecord(str(path), X, tasks, skip_bad=tmp_path / "bad.csv", splits=Splits(0.1, 0))
    with (tmp_path / "bad.csv").open() as file:
        listed = {int(row["record"]): (row["feature"], row["expected"], row["found"]) for row in csv.DictReader(file)}
    assert listed == {
        7: ("", "a tf.train.Example", "18 bytes"),
        9: ("x", "2 values as float_list", "1 value as float_list"),
        11: ("x", "finite numbers", "2 values as float_list"),
        13: ("colour", "1 value as bytes_list, as in the records before", "1 value as int64_list"),
        15: ("x", "2 values as float_list", "nothing"),
        17: ("colour", "a label among ['red', 'green', 'blue']", "purple"),
        19: ("size", "a number from 0 to inf", "-2.0"),
        21: ("", "a record with the right checksum", ""),
    }
    assert source.about["records"] == 40
    assert source.about["used"] == 32
    assert source.about["left_out"] == 8
    seen = [number for split in source.sizes for number in numbers_of(source.batches(8, split=split))]
    assert sorted(seen) == [n for n in range(40) if n not in listed]
    epoch = numbers_of(source.batches(1, training=True))
    assert len(epoch) == source.sizes["train"]


def test_a_record_that_breaks_while_training_is_named(tmp_path):
    """Also where the records are a part of a mixture; `fit` reads inside of `readable`."""
    path = Path(write(tmp_path / "a.tfrecord", [example(x=[1.0, 2.0], colour=b"ab"[n % 2 :][:1]) for n in range(40)]))
    source = mtl.data.from_tfrecord(str(path), X, ["colour"], splits=Splits(0.1, 0))
    splits = Splits(0.1, 0)
    others = mtl.data.from_arrays(np.zeros((20, 2), "float32"), {"b": [0, 1] * 10}, splits=splits, input_name="x")
    content = path.read_bytes()
    size = len(content) // 40
    flipped = content[: 20 * size + 20] + b"?" + content[20 * size + 21 :]
    for made, damage, expected, number in (
        (source, flipped, "a record with the right checksum", ", record=20"),
        (source, content[: 10 * size], "40 records", ", record=10"),
        (mtl.data.mix({"records": source, "others": others}), None, "a file that is there", ""),
    ):
        data = made.batches(8, training=True)
        assert len(list(data)) == len(data)
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        with pytest.raises(ValueError, match="Expected") as caught, readable(data):
            list(data)
        assert str(caught.value) == (
            f"Expected {expected}, as it was before training. Received: file='{path}'{number}. "
            "Do restore the file, or make the source again with skip_bad=True, which leaves out what is damaged."
        )
        path.write_bytes(content)


def test_files_that_are_missing_or_foreign(tmp_path, folder):
    parts = str(folder / "part-*")
    for arguments, expected in (
        (
            (str(tmp_path / "*.none"), X, ["a"]),
            f"TFRecord files. Received: pattern='{tmp_path}/*.none', files=0. Do correct the pattern.",
        ),
        (
            (str(folder / "part-0000[02]-*"), X, ["colour"]),
            f"all 3 files of the row. Received: missing='{folder}/part-00001-of-00003', found=2. "
            "Do add the file, or pass a list of those that are to be read.",
        ),
        (
            (parts,),
            "features and tasks, or a folder that write_tfrecord wrote. Received: features=None, tasks=None. "
            'Do pass e.g. features={"image": tfrecord.ImageFile(64)}, tasks=["label"].',
        ),
        (
            ({"training": "x"}, X, ["a"]),
            "splits among ['train', 'val', 'test']. Received: splits=['training']. Do correct the keys.",
        ),
        (
            (parts, {"x": 3}, ["colour"]),
            "how input 'x' is stored. Received: stored=3. "
            "Do pass tfrecord.ImageFile(64) for encoded images, tfrecord.Numbers or tfrecord.Raw for arrays.",
        ),
    ):
        with pytest.raises(ValueError, match="Expected") as caught:
            mtl.data.from_tfrecord(*arguments)
        assert str(caught.value) == f"Expected {expected}"
    one = mtl.data.from_tfrecord([str(folder / "part-00001-of-00003")], X, ["colour"])
    assert sum(one.sizes.values()) == 40
    with pytest.raises(ValueError, match=r"dataset\.json, as write_tfrecord writes it"):
        mtl.data.from_tfrecord(tmp_path)
    source = mtl.data.from_arrays(np.zeros((20, 2), "float32"), {"a": np.arange(20) % 2}, input_name="x")
    mtl.data.write_tfrecord(source, tmp_path / "d")
    with pytest.raises(ValueError, match="the folder alone, which says what it holds"):
        mtl.data.from_tfrecord(tmp_path / "d", tasks=["a"])
    described = json.loads((tmp_path / "d/dataset.json").read_text())
    for change in (
        {"schema": 2},
        {"inputs": {"x": {"way": "jpeg"}}},
        {"tasks": {"a": {"kind": "class"}}},
        {"files": 3},
    ):
        (tmp_path / "d/dataset.json").write_text(json.dumps({**described, **change}))
        with pytest.raises(ValueError, match=r"dataset\.json of schema 1"):
            mtl.data.from_tfrecord(tmp_path / "d")


def test_fuzz_rows_in_are_examples_out_or_reported(tmp_path):
    """Damaged written files: whatever was done to them, every record is used, listed, or its file is."""
    source = mtl.data.from_arrays(
        np.arange(60, dtype="float32").reshape(30, 2), {"a": np.arange(30) % 2}, input_name="x"
    )
    files = mtl.data.write_tfrecord(source, tmp_path / "d", shards=2)
    originals = {path: path.read_bytes() for paths in files.values() for path in paths}
    rng = np.random.default_rng(0)
    read, refused = 0, []
    for turn in range(25):
        for path, content in originals.items():
            data = bytearray(content)
            if rng.random() < 0.5:
                kind, at = rng.integers(3), int(rng.integers(len(data)))
                if kind == 0:
                    data[at] ^= 1 << int(rng.integers(8))
                elif kind == 1:
                    del data[at:]
                else:
                    data[at:at] = rng.bytes(5)
            path.write_bytes(data)
        try:
            found = mtl.data.from_tfrecord(tmp_path / "d", skip_bad=tmp_path / "bad.csv")
        except ValueError as error:
            refused.append(str(error))
            continue
        about = found.about
        assert about["records"] == about["used"] + about["left_out"]
        if not about["not_read_to_the_end"]:
            assert about["records"] == 30
        if turn % 5 == 0:
            read += 1
            seen = [n for split in found.sizes for n in numbers_of(found.batches(8, split=split))]
            assert len(seen) == len(set(seen)) == about["used"]
            assert set(seen) <= set(range(0, 60, 2))
    assert read > 2
    assert all(text.startswith("Expected ") for text in refused)


def test_fuzz_records_that_pass_the_look_can_be_read(tmp_path):
    """Damaged records with right checksums: what the look lets through, TensorFlow's parser reads without an error."""
    rng = np.random.default_rng(0)
    left_out = used = 0
    for _ in range(6):
        records = numbered(60)
        for number in range(0, 60, 2):
            data = bytearray(records[number])
            for _ in range(rng.integers(1, 3)):
                at = int(rng.integers(len(data)))
                if rng.random() < 0.7:
                    data[at] = rng.integers(256)
                else:
                    data[at:at] = data[: int(rng.integers(1, len(data)))]
            records[number] = bytes(data)
        file = write(tmp_path / "a", records)
        source = mtl.data.from_tfrecord(file, X, ["colour", "size"], skip_bad=True, splits=Splits(0, 0))
        assert source.about["records"] == 60
        assert sum(len(x) for x, _, _ in source.batches(8, split="train")) == source.about["used"]
        left_out, used = left_out + source.about["left_out"], used + source.about["used"]
    assert left_out > 30
    assert used > 6 * 30  # the others are undamaged
