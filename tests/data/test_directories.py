"""from_directory: the class is the folder."""

import numpy as np
import pytest
from PIL import Image

import mtl_keras as mtl


@pytest.fixture
def animals(tmp_path):
    root = tmp_path / "animals"
    for shade, kind in enumerate(("cat", "dog")):
        for number in range(10):
            folder = root / kind / ("indoors" if number % 2 else "outdoors")
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("L", (6, 6), 100 + 100 * shade).save(folder / f"{number}.png")
    (root / ".DS_Store").write_bytes(b"notes of the system")
    return root


def test_folders_are_classes_in_every_split(animals):
    source = mtl.data.from_directory(animals, "animal", image_size=4)
    assert source.kinds["animal"].names == ("cat", "dog")
    assert [source.tallies(split)["animal"].values.tolist() for split in source.sizes] == [[8, 8], [1, 1], [1, 1]]
    for x, y, _ in source.batches(4, split="train"):
        np.testing.assert_allclose(x[:, 0, 0, 0] * 255, 100 + 100 * y["animal"].numpy(), atol=0.01)


def test_folders_may_name_the_splits(animals):
    root = animals.parent / "divided"
    for name, kinds in {"train": "cat dog", "validation": "cat", "test": "dog"}.items():
        for kind in kinds.split():
            (root / name / kind).mkdir(parents=True)
            Image.new("L", (6, 6)).save(root / name / kind / "a.png")
    source = mtl.data.from_directory(root, image_size=4)
    assert source.sizes == {"train": 2, "val": 1, "test": 1}
    assert source.tallies("test")["label"].values.tolist() == [0, 1]


def test_files_that_do_not_belong_are_named_and_skipped(animals):
    (animals / "notes.txt").write_text("of someone")
    (animals / "cat" / "readme.txt").write_text("of someone else")
    with pytest.raises(ValueError, match="Expected ") as error:
        mtl.data.from_directory(animals)
    assert str(error.value) == (
        f"Expected an image file (JPEG, PNG, BMP, GIF or WebP) (below {animals}). Received: file='{animals}', "
        "column='image file', value='cat/readme.txt', bad_rows=2. Do correct the path or the file, or skip bad rows."
    )
    source = mtl.data.from_directory(animals, skip_bad=True)
    assert (source.about["rows"], source.about["used"], sum(source.sizes.values())) == (22, 20, 20)
    assert source.about["left_out_because"]["image file: every image in the folder of its class"] == 1


def test_folders_without_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Expected a folder with one folder for each class"):
        mtl.data.from_directory(tmp_path / "none")
    with pytest.raises(ValueError, match="Expected images in folders named as their classes"):
        mtl.data.from_directory(tmp_path)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="Expected a random split without columns"):
        mtl.data.from_directory(tmp_path, splits=mtl.data.Splits(group="person"))
