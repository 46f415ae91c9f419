"""from_csv: from photos and a CSV file to batches, with every kind of bad row named, counted and skipped on demand."""

import csv

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_images import bomb, encoded, turned

import mtl_keras as mtl
from mtl_keras.data import Column, Splits
from mtl_keras.data.pixel_store import PixelStore
from mtl_keras.images import ImageFormat

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
COLUMNS = ["photo", "colour", "price", "tags", "size", "part", "person"]
TASKS = {
    "colour": None,
    "price": Column("number", unit="EUR"),
    "tags": "multilabel",
    "size": Column("ordinal", names=("S", "M", "L")),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Thirty photos of one colour each, and the CSV file that names them, a third of the colours left out."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "photos").mkdir()
    with (folder / "shop.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for index in range(30):
            colour = list(COLOURS)[index % 3]
            name = f"photos/{index:02}.{['jpg', 'png'][index % 2]}"
            Image.new("RGB", (12, 8), COLOURS[colour]).save(folder / name, quality=95)
            known = colour if index % 5 else ""
            part = "train" if index < 20 else "val" if index < 25 else "test"
            price = "" if index % 4 == 0 else index
            writer.writerow([name, known, price, ["a|b", "b", "|"][index % 3], "SML"[index % 3], part, index // 4])
    return folder


def changed(shop, name, row, **cells):
    """A copy of the CSV file with other cells in one row (2 is the first below the header)."""
    with (shop / "shop.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[row - 2] |= cells
    with (shop / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return shop / name


def from_csv(file, tasks=None, **options):
    options = {"image_size": (4, 6), "splits": Splits(column="part"), **options}
    return mtl.data.from_csv(file, "photo", TASKS if tasks is None else tasks, **options)


@pytest.mark.parametrize("cache", [None, "memory", "folder"])
def test_photos_arrive_with_their_labels(shop, tmp_path, cache):
    for _ in range(2 if cache == "folder" else 1):  # the second time from what lies in the folder
        source = from_csv(shop / "shop.csv", cache=tmp_path if cache == "folder" else cache)
        assert source.sizes == {"train": 20, "val": 5, "test": 5}
        names = source.kinds["colour"].names
        for x, y, weights in source.batches(8, split="train"):
            assert x.shape[1:] == (4, 6, 3)
            shown = x.numpy().mean(axis=(1, 2)).argmax(axis=-1)  # red, green, blue
            labels, exists = y["colour"].numpy(), weights["colour"].numpy().astype(bool)
            assert [names[i] for i in labels[exists]] == [list(COLOURS)[i] for i in shown[exists]]
            np.testing.assert_array_equal(y["size"], shown)
            np.testing.assert_array_equal(y["tags"], np.array([[1, 1], [0, 1], [0, 0]])[shown])
    if cache == "folder":
        assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npy"]
    assert source.label_counts("train") == {"colour": 16, "price": 15, "tags": 20, "size": 20}
    assert source.kinds["price"].describe() == {"kind": "number", "unit": "EUR", "range": [1.0, 19.0]}
    assert source.about | {"file": 0, "root": 0} == {
        "file": 0, "root": 0, "rows": 30, "used": 30, "left_out": 0, "left_out_because": {}, "unseen": {},
        "files_in_several_splits": 0,
    }  # fmt: skip
    assert source.before["image"] == {
        "scale": 1 / 255,
        "pixels": "RGB, 0..255, 4x6",
        "image": ImageFormat(4, 6).describe(),
    }


def test_the_training_order_is_the_same_with_and_without_a_cache(shop):
    def prices(**options):
        source = from_csv(shop / "shop.csv", tasks=["price:number"], **options)
        return [y["price"].numpy().tolist() for _, y, _ in source.batches(4, training=True)]

    assert prices() == prices(cache="memory") != prices(seed=1)


def test_a_model_trains_and_its_manifest_repeats_the_resizing(shop, tmp_path):
    source = from_csv(shop / "shop.csv", tasks=["colour"], image_size=ImageFormat(8, 8, "pad"))
    model = mtl.build(source.input(), mtl.sharing.Hard(mtl.trunks.Conv((4,))), source.tasks())
    model.compile("adam")
    model.fit(source.batches(4, training=True), validation_data=source.batches(4), epochs=1, verbose=0)
    folder = mtl.export.write_version(model, tmp_path, before=source.before)
    predictor = mtl.export.Predictor(folder)
    photo = shop / "photos" / "00.jpg"
    answer = predictor.predict(str(photo))
    assert answer["colour"].label in ("blue", "green", "red")
    ready = ImageFormat(8, 8, "pad").read(photo).astype("float32")[None] / 255
    np.testing.assert_allclose(predictor.outputs(photo.read_bytes())["colour"], model(ready)["colour"], atol=1e-5)
    assert predictor.manifest.tasks["colour"]["labels"] == ["blue", "green", "red"]


def test_groups_and_strata_by_column(shop):
    spaced = changed(shop, "spaced.csv", row=3, person=" 0")
    for file in (shop / "shop.csv", spaced):
        source = from_csv(file, tasks=["size"], splits=Splits(val=0.3, test=0, group="person"))
        assert sum(source.sizes.values()) == 30
        assert source.sizes["train"] % 4 in (0, 2)  # whole persons: seven of four photos, one of two
    source = from_csv(shop / "shop.csv", tasks=["size"], splits=Splits(val=0.2, test=0.2, stratify="size"))
    assert [source.tallies(split)["size"].values.tolist() for split in source.sizes] == [[6] * 3, [2] * 3, [2] * 3]
    with pytest.raises(ValueError, match="Expected a task of kind 'class' or 'ordinal' to stratify by"):
        from_csv(shop / "shop.csv", tasks=["price:number"], splits=Splits(stratify="price"))


BAD_FILES = {
    "text.jpg": (b"this is no image", "an image file (JPEG, PNG, BMP, GIF or WebP)", "headers"),
    "empty.jpg": (b"", "a file that is not empty", "paths"),
    "bomb.png": (bomb(9_000), "an image of at most 50,000,000 pixels", "headers"),
    "cut.jpg": (turned(1)[:-30], "an image file that is whole", "pixels"),
    "corrupt.png": (encoded(Image.new("RGB", (9, 9)), "PNG")[:50] + bytes(30), "an image file that is whole", "pixels"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_images_are_found_before_training(shop, name):
    content, expected, check = BAD_FILES[name]
    (shop / name).write_bytes(content)
    file = changed(shop, "bad.csv", row=7, photo=name)
    with pytest.raises(ValueError, match="Expected ") as error:
        from_csv(file, check=check)
    assert str(error.value) == (
        f"Expected {expected} (below {shop}). Received: file='{file}', row=7, column='photo', value='{name}', "
        "bad_rows=1. Do correct the path or the file, or skip bad rows."
    )
    with pytest.raises(ValueError, match="row=7, column='photo'"):
        from_csv(file)  # whatever it is, it is found by default
    source = from_csv(file, check=check, skip_bad=shop / "left_out.csv")
    assert (source.about["rows"], source.about["used"], source.about["left_out"]) == (30, 29, 1)
    assert sum(source.sizes.values()) == 29
    assert sum(len(x) for split in source.sizes for x, _, _ in source.batches(8, split=split)) == 29
    listed = list(csv.DictReader((shop / "left_out.csv").read_text().splitlines()))
    assert [(row["row"], row["column"], row["value"]) for row in listed] == [("7", "photo", name)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("photos/99.jpg", "a file that exists"),
        ("photos", "a file, not a folder"),
        ("", "the path of a file"),
        ("../secret.jpg", "a path inside the root folder"),
        ("/etc/passwd", "a path inside the root folder"),
        ("photos/../../shop/x.jpg", "a path inside the root folder"),
        ("link.jpg", "a path inside the root folder"),
        ("linked/01.png", "a path inside the root folder"),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(shop, tmp_path, path, expected):
    root = tmp_path / "root"
    (root / "photos").mkdir(parents=True)
    for photo in (shop / "photos").iterdir():
        (root / "photos" / photo.name).write_bytes(photo.read_bytes())
    (root / "link.jpg").symlink_to(shop / "photos" / "01.png")
    (root / "linked").symlink_to(shop / "photos")
    file = changed(shop, "bad.csv", row=3, photo=path)
    with pytest.raises(ValueError, match="Expected ") as error:
        from_csv(file, root=root, check="paths")
    assert str(error.value).startswith(f"Expected {expected} (below {root}). Received: file='{file}', row=3, ")


def test_an_image_in_two_splits_is_counted(shop):
    file = changed(shop, "bad.csv", row=30, photo="photos/00.jpg")
    assert from_csv(file).about["files_in_several_splits"] == 1
    file = changed(shop, "bad.csv", row=3, photo="photos/00.jpg")
    assert from_csv(file).about["files_in_several_splits"] == 0


def test_absolute_paths_and_links_inside_the_root_are_fine(shop):
    (shop / "photos" / "again.jpg").symlink_to(shop / "photos" / "00.jpg")
    file = changed(shop, "links.csv", row=2, photo=str(shop / "photos" / "02.jpg"))
    assert sum(from_csv(file).sizes.values()) == 30
    file = changed(shop, "links.csv", row=2, photo="photos/again.jpg")
    assert sum(from_csv(file).sizes.values()) == 30
    (shop / "photos" / "again.jpg").unlink()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"price": "cheap"}, "a number, or an empty cell"),
        ({"size": "XL"}, "a label among ['S', 'M', 'L']"),
        ({"part": "tset"}, "'train', 'val' or 'test'"),
    ],
)
def test_bad_labels_are_named_and_skipped(shop, cells, expected):
    file = changed(shop, "bad.csv", row=4, **cells)
    ((column, value),) = cells.items()
    with pytest.raises(ValueError, match="Expected ") as error:
        from_csv(file)
    assert str(error.value).startswith(
        f"Expected {expected}. Received: file='{file}', row=4, column='{column}', value='{value}', bad_rows=1."
    )
    assert from_csv(file, skip_bad=True).about["left_out_because"] == {f"{column}: {expected}": 1}


def test_labels_that_training_has_not_seen_are_missing_and_reported(shop):
    source = from_csv(changed(shop, "bad.csv", row=30, colour="mauve"))
    assert source.about["unseen"] == {"colour": {"mauve": 1}}
    assert "mauve" not in source.kinds["colour"].names
    assert source.label_counts("test")["colour"] == 3


def test_what_is_wrong_with_a_whole_file_is_named(shop, tmp_path):
    def refused(expected, file=None, **options):
        with pytest.raises(ValueError, match="Expected ") as error:
            from_csv(shop / "shop.csv" if file is None else file, **options)
        assert expected in str(error.value)

    refused("Expected a column among ['photo', 'colour',", tasks=["weight"])
    refused("Expected a check among ['paths', 'headers', 'pixels']. Received: check='all'.", check="all")
    refused("Expected a folder with the files. Received: root=", root=tmp_path / "none")
    refused(
        "Expected the path of a file in a folder that is there as skip_bad. Received: skip_bad='none/bad.csv'. "
        "Do make the folder, or choose another.",
        skip_bad="none/bad.csv",
        root=tmp_path / "none",  # it is told before this is looked at
    )
    refused("Expected True, False or the path of a list as skip_bad. Received: skip_bad=1.", skip_bad=1)
    refused("Expected an image size of 1 to 8192 pixels a side. Received: height=0.", image_size=0)
    refused(
        "Expected a kind among ['class', 'multilabel', 'number', 'ordinal'] for task 'colour'. Received: kind='klass'. "
        "Do choose one.",
        tasks={"colour": "klass"},
    )
    refused("bad_rows=30. Do pass the folder that the paths start from as root.", root=tmp_path)
    few = tmp_path / "few.csv"
    few.write_text("photo,colour,part\nphotos/00.jpg,red,train\nphotos/01.png,blue,train\nphotos/02.jpg,,val\n")
    refused(
        f"Expected a label of task 'colour' in every split that has rows. Received: file='{few}', column='colour', "
        "split='val', labels=0. Do label some, divide the rows in another way, or leave the task out.",
        file=few,
        root=shop,
        tasks=["colour"],
    )
    few.write_text("photo,colour,part\nphotos/00.jpg,red,train\nphotos/01.png,red,train\n")
    refused("Expected at least two different labels in the training split.", file=few, root=shop, tasks=["colour"])
    rows = ["photos/00.jpg,red,train", "photos/01.png,blue,train", "photos/02.jpg,mauve,val"]
    few.write_text("\n".join(["photo,colour,part", *rows]))
    refused(
        "Expected a label of task 'colour' that training has seen in every split that has rows. "
        f"Received: file='{few}', column='colour', split='val', unseen={{'mauve': 1}}. "
        "Do label more, divide the rows in another way, or leave the task out.",
        file=few,
        root=shop,
        tasks=["colour"],
    )
    few.write_text("photo,colour,part\nphotos/none.jpg,red,train\n")
    refused("Expected a file that exists", file=few, root=shop, tasks=["colour"], skip_bad=True)


def test_a_cache_that_does_not_fit_is_refused(shop, tmp_path, monkeypatch):
    monkeypatch.setattr("mtl_keras.data.room.free_memory", lambda: 1000)
    with pytest.raises(ValueError, match="Expected room for the decoded images in memory"):
        from_csv(shop / "shop.csv", cache="memory")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(ValueError, match=r"Expected room for the decoded images on disk\. Received: folder="):
        from_csv(shop / "shop.csv", cache=tmp_path)


def test_images_in_memory_take_the_room_that_was_checked_and_no_more():
    # TensorFlow reads where NumPy wrote, which it promises nowhere
    for count in (0, 1, 3):
        store = PixelStore("memory", count, (3, 5, 1))
        read = store.reader()
        store.pixels[:] = 7
        np.testing.assert_array_equal(read(tf.range(count)), store.pixels)


def test_a_damaged_cache_is_made_again(shop, tmp_path):
    images = [x.numpy() for x, _, _ in from_csv(shop / "shop.csv", cache=tmp_path).batches(8)]
    whole = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path, content in whole.items():
        path.write_bytes(content[: len(content) // 2])
        again = from_csv(shop / "shop.csv", cache=tmp_path)
        np.testing.assert_array_equal([x.numpy() for x, _, _ in again.batches(8)], images)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == whole


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2_000), st.sampled_from("idr"), st.binary(min_size=1, max_size=3)), max_size=5)
)
def test_rows_in_are_examples_and_rows_left_out_whatever_happens_to_the_file(shop, edits):
    content = bytearray((shop / "shop.csv").read_bytes())
    for position, how, edit in edits:
        position %= len(content) + 1
        width = len(edit) if how in "dr" else 0
        content[position : position + width] = edit if how in "ir" else b""
    file = shop / "mutated.csv"
    file.write_bytes(content)
    tasks = {"colour": Column("class"), "price": Column("number"), "tags": Column("multilabel")}
    try:
        source = from_csv(file, tasks, splits=Splits(), check="paths", skip_bad=shop / "left_out.csv")
    except ValueError as error:
        refusal = str(error)
    else:
        with (shop / "left_out.csv").open(newline="") as listed:
            assert source.about["left_out"] == len(list(csv.reader(listed))) - 1
        assert source.about["rows"] == source.about["used"] + source.about["left_out"]
        assert sum(source.sizes.values()) == source.about["used"]
        return
    assert refusal.startswith("Expected ")
    assert "mutated.csv" in refusal


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_file_that_breaks_while_training_is_named_or_left_out(shop, tmp_path, capfd, damage):
    for path in shop.glob("photos/*"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "shop.csv").write_bytes((shop / "shop.csv").read_bytes())
    listed = tmp_path / "left_out.csv"
    strict, forgiving = (from_csv(tmp_path / "shop.csv", image_size=(8, 8), skip_bad=skip) for skip in (False, listed))
    whole = [batch[1]["size"].numpy().tolist() for batch in forgiving.batches(4, training=True)]
    broken = tmp_path / "photos" / "07.png"
    content = broken.read_bytes()
    if damage == "gone":
        broken.unlink()
    else:
        broken.write_bytes(content[:40])
    model = mtl.build(strict.input(), mtl.sharing.Hard(mtl.trunks.Conv((4,))), strict.tasks())
    model.compile("adam")
    with pytest.raises(ValueError, match="Expected") as error:
        model.fit(strict.batches(4, training=True), verbose=0)
    expected = (
        "a file that is there" if damage == "gone" else "a PNG file whose header is whole, not cut off or damaged"
    )
    assert str(error.value) == (
        f"Expected {expected}, as it was before training. Received: file='{broken}'. "
        "Do restore the file, or make the source with skip_bad=True, which leaves it out."
    )
    capfd.readouterr()
    forgiving.order.begin_epoch(0)
    found = [(y["size"].numpy(), w) for _, y, w in forgiving.batches(4, training=True)]
    # same order and number, and the one example counts for no task
    left_out = [w["size"].numpy() == 0 for _, w in found]
    assert np.sum(left_out) == 1
    for (sizes, weights), before, out in zip(found, whole, left_out, strict=True):
        assert sizes[~out].tolist() == np.array(before)[~out].tolist()
        assert all((weight.numpy()[out] == 0).all() for weight in weights.values())
    assert f'Left out, as it can no longer be read: "{broken}"' in capfd.readouterr().err
    model.fit(forgiving.batches(4, training=True), epochs=2, verbose=0)
    # once, however often it was left out
    with listed.open() as file:
        assert list(csv.reader(file))[1:] == [["9", "photo", "photos/07.png", f"{expected} (below {tmp_path})"]]
    assert forgiving.lost == {str(broken): 1}
