"""The comparison of ways to read data: what is compared gives the same examples, and ratios are those of rounds."""

import keras
import numpy as np
from PIL import Image

from benchmarks import data
from benchmarks.photos import write_photos


def test_ratios_are_medians_of_rounds_and_above_one_where_ours_is_faster():
    seen = {data.OURS: [(2.0, 1.0), (4.0, 2.0), (1.0, 1.0)], "other": [(1.0, 3.0), (2.0, 4.0), (3.0, 1.0)]}
    lines = data.report("Text.", seen, examples=100).splitlines()
    assert lines[0] == "Text."
    assert lines[-2:] == ["| mtl_keras | 50 | 10.00 | 1.00 | 1.00 |", "| other | 50 | 30.00 | 0.50 | 2.00 |"]


def test_records_by_hand_and_ours_give_the_same_examples(tmp_path):
    root = write_photos(tmp_path / "photos", 70, classes=2)
    paths = sorted(root.rglob("*.jpg"))
    assert len(paths) == 70
    with Image.open(paths[0]) as photo:
        assert 480 <= photo.width <= 520
        assert 380 <= photo.height <= 420
    files = data.write_photo_records(tmp_path, 70)
    source = data.mtl.data.from_tfrecord(
        files, {"image": data.tfrecord.ImageFile(data.SIDE)}, ["label"], splits=data.mtl.data.Splits(0, 0)
    )
    everything = {round(float(np.mean(x)), 3) for batch, *_ in source.batches(70, split="train") for x in batch}
    for images, labels in data.photo_records_by_hand(files):
        assert images.shape == (64, data.SIDE, data.SIDE, 3)
        assert set(labels.numpy()) == {0, 1}
        # one grey level of rounding
        assert all(min(abs(float(np.mean(x)) - mean) for mean in everything) < 0.004 for x in images)


def test_keras_utility_does_not_antialias(tmp_path):
    """As the table says: between the pixels that it looks at, anything may be."""
    stripes = np.tile(np.array([0, 255, 255, 0], np.uint8), (64, 16))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(stripes).save(tmp_path / name / "1.png")
    ((images, _),) = keras.utils.image_dataset_from_directory(tmp_path, image_size=(16, 16), verbose=False)
    assert np.unique(images).tolist() == [255.0]
    source = data.mtl.data.from_directory(tmp_path, image_size=16, splits=data.mtl.data.Splits(0, 0))
    ((ours, *_),) = source.batches(2, split="train")
    assert float(np.max(ours)) < 0.7
