"""Records that break while training: with `skip_bad` the run goes on, and each of them is listed."""

import csv
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from record_files import numbered, write

import mtl_keras as mtl
from mtl_keras.data import Splits
from mtl_keras.data.tfrecord.frames import frames

X = {"x": tf.io.FixedLenFeature([2], tf.float32)}
COUNT = 40  # records in each file
FILES = ["crc", "cut", "gone", "packed.gz", "twice", "whole"]


def flip(path, number):
    """Damage one record, and leave its length as it is."""
    offset = next(frame.offset for frame in frames(path) if frame.number == number)
    data = bytearray(path.read_bytes())
    data[offset + 3] ^= 1
    path.write_bytes(data)


def seen(dataset):
    """The number of each example in order, and whether it has labels."""
    batches = [(x[:, 0].numpy(), w["colour"].numpy() == 1) for x, _, w in dataset]
    numbers, labelled = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return numbers.astype(int), labelled


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A source whose files broke after it was made, what it gave before by split, and the list of what it leaves out.

    One file was damaged before and is damaged again.
    """
    folder = tmp_path_factory.mktemp("broken")
    paths = {
        name: Path(write(folder / name, numbered(COUNT, COUNT * index), "GZIP" if name == "packed.gz" else ""))
        for index, name in enumerate(FILES)
    }
    flip(paths["twice"], 5)
    source = mtl.data.from_tfrecord(
        [str(path) for path in paths.values()], X, ["colour"], Splits(0.2, 0), skip_bad=folder / "left_out.csv"
    )
    keras.utils.set_random_seed(7)  # as before every test: TensorFlow's buffer is shuffled by the global seed too
    before = {split: seen(source.batches(256, training=split == "train"))[0] for split in source.sizes}
    flip(paths["crc"], 20)
    tenth = next(frame.offset for frame in frames(paths["cut"]) if frame.number == 30)
    paths["cut"].write_bytes(paths["cut"].read_bytes()[: tenth + 3])
    paths["gone"].unlink()
    paths["packed.gz"].write_bytes(paths["packed.gz"].read_bytes()[:-30])
    flip(paths["twice"], 10)
    return source, before, folder / "left_out.csv"


def test_the_others_go_on_and_each_that_is_lost_is_listed(broken, capfd):
    source, before, listed = broken
    assert source.lost == {}
    source.order.begin_epoch(0)
    missing = set()
    for split, numbers in before.items():
        found, labelled = seen(source.batches(256, training=split == "train"))
        # as many as before and in the same order, with others in the place of the lost ones
        assert len(found) == len(numbers)
        assert found[labelled].tolist() == numbers[labelled].tolist()
        missing |= set(numbers[~labelled])
    with listed.open() as file:
        was_damaged, *rows = csv.DictReader(file)
    assert (was_damaged["record"], Path(was_damaged["file"]).name) == ("5", "twice")
    by_file = {name: {} for name in FILES}
    for row in rows:
        by_file[Path(row["file"]).name][int(row["record"])] = row["expected"]
    # of a packed file, TensorFlow's reader gives up before the damage
    packed = by_file.pop("packed.gz")
    assert packed == dict.fromkeys(range(min(packed), COUNT), "a packed file that can be unpacked")
    assert by_file == {
        "crc": {20: "a record with the right checksum"},
        "cut": dict.fromkeys(range(30, COUNT), "a whole record: the file is cut off"),
        "gone": dict.fromkeys(range(COUNT), "a file that is there"),
        "twice": {10: "a record with the right checksum"},
        "whole": {},
    }
    by_file["packed.gz"] = packed
    assert missing == {COUNT * FILES.index(name) + record for name, lost in by_file.items() for record in lost}
    counts = {Path(file).name: count for file, count in source.lost.items()}
    assert counts == {name: len(lost) for name, lost in by_file.items() if lost}
    told = capfd.readouterr().err
    for name in counts:
        assert told.count(f'Left out, as it can no longer be read: "{listed.parent / name}"\n') == 1


def test_the_run_ends_well_and_says_so(broken, capfd):
    """Also where the records are a part of a mixture; `fit` counts at its end what was lost since it began."""
    source, _, listed = broken
    splits = Splits(0.2, 0)
    other = mtl.data.from_arrays(np.zeros((20, 2), "float32"), {"b": [0, 1] * 10}, splits=splits, input_name="x")
    mixed = mtl.data.mix({"records": source, "others": other})
    x = mixed.input()
    outputs = {"colour": keras.layers.Dense(3, "softmax"), "b": keras.layers.Dense(2, "softmax")}
    shared = keras.layers.Dense(4)(x)
    model = mtl.MultiTaskModel(x, {task: layer(shared) for task, layer in outputs.items()})
    model.compile("adam", loss="sparse_categorical_crossentropy")
    data, validation = mixed.batches(8, training=True), mixed.batches(8)
    lines = listed.read_text()
    logs = model.fit(data, validation_data=validation, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values())
    # each was told and listed before, and is not again
    assert listed.read_text() == lines
    assert capfd.readouterr().err == ""
    assert mixed.lost == source.lost
    gone = listed.parent / "whole"
    gone.unlink()
    model.fit(data, verbose=0)
    assert capfd.readouterr().err == (
        f'Left out, as it can no longer be read: "{gone}"\n'
        f"Left out while training, as they could no longer be read: {source.lost[str(gone)]} examples of {gone}\n"
    )
    assert 0 < source.lost[str(gone)] <= COUNT
