"""Predictor on image files: the recorded preprocessing is repeated, and what is no image is named."""

import json

import keras
import numpy as np
import pytest
from exported import SCALE, edit_manifest, text_of
from PIL import Image

import mtl_keras as mtl
from mtl_keras.export import Predictor
from mtl_keras.images import ImageFormat


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """One picture in several files, 21 wide and 14 high."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    picture = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)).resize(
        (21, 14), Image.Resampling.BICUBIC
    )
    picture.save(folder / "photo.png")
    picture.save(folder / "photo.jpg", quality=95)
    picture.convert("L").save(folder / "grey.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", quality=95, exif=turned)
    (folder / "text.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A model for grey images of a free size: the mean, and the picture itself; and a file that records nothing."""
    image = keras.Input((None, None, 1), name="image")
    mean = keras.layers.GlobalAveragePooling2D(name="mean")(image)
    model = keras.Model(image, {"mean": mean, "same": keras.layers.Activation("linear", name="same")(image)})
    before = {"image": {"height": 5, "width": 4, "resize": "fill", "background": 0}, "offset": 1.0}
    folder = tmp_path_factory.mktemp("grey")
    mtl.export.litert(model, folder / "bare.tflite", batch_size=None)
    return mtl.export.write_version(model, folder, before=before)


def test_a_file_is_answered_like_its_prepared_pixels(shop, photos):
    predictor = Predictor(shop.folder)
    for name in ("photo.png", "photo.jpg", "grey.png", "turned.jpg"):
        pixels = ImageFormat(8, 8, "pad").read(photos / name)
        expected = predictor.predict(pixels.astype("float32") * np.float32(SCALE))
        assert predictor.predict(photos / name) == expected
        assert predictor.predict(str(photos / name)) == expected
        assert predictor.predict((photos / name).read_bytes()) == expected
        assert predictor.predict({"image": photos / name}) == expected


def test_several_files_are_a_batch(shop, photos):
    predictor = Predictor(shop.folder)
    files = [photos / "photo.png", str(photos / "grey.png"), (photos / "photo.jpg").read_bytes()]
    assert predictor.predict(files) == [predictor.predict(file) for file in files]
    assert predictor.predict(files[:1]) == [predictor.predict(files[0])]


def test_pixels_of_another_size_are_resized_where_a_mode_is_recorded(shop, photos, tmp_path):
    predictor = Predictor(shop.folder)
    pixels = np.asarray(Image.open(photos / "photo.png"))
    expected = predictor.predict(photos / "photo.png")
    assert predictor.predict(pixels) == expected
    assert predictor.predict(pixels[None]) == [expected]
    grey = np.asarray(Image.open(photos / "grey.png"))
    assert predictor.predict([pixels, grey, grey[:, :, None]]) == [
        expected,
        *[predictor.predict(photos / "grey.png")] * 2,
    ]
    folder = shop.copy(tmp_path / "1")
    edit_manifest(folder, lambda content: content["preprocessing"].update(before={}))
    with pytest.raises(ValueError, match="resize or reshape it"):
        Predictor(folder).predict(pixels)


@pytest.mark.parametrize("resize", ["fit", "fill", "pad"])
def test_every_mode_is_repeated(shop, photos, tmp_path, resize):
    folder = shop.copy(tmp_path / "1")
    steps = {"scale": SCALE, "image": ImageFormat(8, 8, resize, background=9).describe()}
    edit_manifest(folder, lambda content: content["preprocessing"].update(before={"image": steps}))
    pixels = ImageFormat(8, 8, resize, background=9).read(photos / "photo.png")
    predictor = Predictor(folder)
    assert predictor.predict(photos / "photo.png") == predictor.predict(pixels)


def test_without_a_recorded_mode_files_are_scaled_to_fit(shop, photos, tmp_path):
    path = tmp_path / "bare.tflite"
    mtl.export.litert(shop.model, path)
    predictor = Predictor(path)
    found = predictor.outputs(photos / "photo.png")
    pixels = ImageFormat(8, 8, "fit").read(photos / "photo.png")
    assert all(np.array_equal(found[task], predictor.outputs(pixels)[task]) for task in found)


def test_size_and_channels_may_be_recorded_only(grey, photos):
    predictor = Predictor(grey / "saved_model")
    pixels = ImageFormat(5, 4, "fill", channels=1, background=0).read(photos / "photo.png")
    outputs = predictor.outputs(photos / "photo.png")
    assert np.array_equal(outputs["same"], pixels[None] + np.float32(1.0))
    assert outputs["mean"][0, 0] == pytest.approx(pixels.mean() + 1.0)


@pytest.mark.parametrize("image", [{"height": 9}, {"channels": 1, "resize": "pad"}])
def test_a_recorded_size_must_be_the_inputs(shop, image):
    with pytest.raises(ValueError, match="of the shape that input") as error:
        mtl.export.Manifest.of(shop.model, before={"image": image})
    assert text_of(error) == (
        f"Expected an image of the shape that input 'image' has, [8, 8, 3]. Received: image={image!r}."
        " Do leave height, width and channels out, they are recorded."
    )


def test_a_recorded_format_must_be_one(shop):
    with pytest.raises(ValueError, match="a way to resize among"):
        mtl.export.Manifest.of(shop.model, before={"image": {"resize": "crop"}})
    x = keras.Input((None, None, 3), name="x")
    free = keras.Model(x, {"a": keras.layers.GlobalAveragePooling2D()(x)})
    with pytest.raises(ValueError, match="a complete image format"):
        mtl.export.Manifest.of(free, before={"image": {"height": 5}})


def test_an_input_called_image_may_have_steps_of_its_own(shop):
    by_name = mtl.export.Manifest.of(shop.model, before={"image": {"scale": 2.0, "image": {"resize": "pad"}}})
    short = mtl.export.Manifest.of(shop.model, before={"scale": 2.0, "image": {"resize": "pad"}})
    alone = mtl.export.Manifest.of(shop.model, before={"image": {"resize": "pad"}})
    complete = ImageFormat(8, 8, "pad").describe()
    assert by_name.preprocessing["before"] == short.preprocessing["before"]
    assert short.preprocessing["before"] == {"image": {"scale": 2.0, "image": complete}}
    assert alone.preprocessing["before"] == {"image": {"image": complete}}


def test_what_is_no_image_is_named(shop, grey, photos, tmp_path):
    predictor = Predictor(shop.folder)
    with pytest.raises(ValueError, match="an image file") as error:
        predictor.predict([photos / "photo.png", photos / "text.jpg"])
    assert str(photos / "text.jpg") in text_of(error)
    with pytest.raises(ValueError, match="an image file"):
        predictor.predict(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match="an image file"):
        predictor.predict(b"no picture")
    with pytest.raises(ValueError, match="a size for images") as error:
        Predictor(grey.parent / "bare.tflite").predict(photos / "photo.png")
    assert text_of(error) == (
        "Expected a size for images, which input 'image' leaves free. Received: shape=[-1, -1, 1]."
        " Do export with before={'image': {'height': ..., 'width': ..., 'channels': ...}}, or pass arrays."
    )


def test_inputs_that_take_no_image_say_so(photos, tmp_path):
    x = keras.Input((4,), name="x")
    mtl.export.saved_model(keras.Model(x, {"a": keras.layers.Dense(2)(x)}), tmp_path / "saved_model")
    with pytest.raises(ValueError, match="no image for input") as error:
        Predictor(tmp_path / "saved_model").predict(photos / "photo.png")
    assert text_of(error) == (
        "Expected no image for input 'x', which takes another shape. Received: shape=[4]. Do pass arrays."
    )


def test_the_command_prints_every_task(shop, photos, command):
    answer = Predictor(shop.folder).predict(photos / "photo.png")
    status, out, _ = command("predict", shop.folder / "model.tflite", photos / "photo.png")
    assert status == 0
    header, *rows = out.splitlines()
    assert header.split() == ["file", "task", "answer", "score", "others"]
    cells = {row.split()[1]: row.split()[2:] for row in rows}
    assert list(cells) == list(answer)
    zest = answer["zest"]
    assert cells["zest"][:2] == [zest.label, f"{zest.score:.1%}"]
    assert cells["zest"][2:] == [zest.top[1][0], f"{zest.top[1][1]:.1%},", zest.top[2][0], f"{zest.top[2][1]:.1%}"]
    assert cells["price"] == [f"{answer['price'].value:.4g}", "EUR"]
    assert cells["body"][1::2] == ["cm,", "kg"]
    assert "beard" in cells["tags"]


def test_the_command_prints_json(shop, photos, command):
    files = [photos / "photo.png", photos / "grey.png"]
    status, out, _ = command("predict", shop.folder, *files, "--task", "zest", "--top", 1, "--json")
    assert status == 0
    rows = json.loads(out)
    answers = Predictor(shop.folder, task="zest", top=1).predict(files)
    assert [row["file"] for row in rows] == [str(file) for file in files]
    for row, answer in zip(rows, answers, strict=True):
        assert list(row["answers"]) == ["zest"]
        found = row["answers"]["zest"]
        assert found["label"] == answer["zest"].label
        assert found["top"] == [[answer["zest"].label, answer["zest"].score]]
        assert found["probabilities"] == answer["zest"].probabilities


def test_the_command_shows_arrays_by_their_shape(grey, photos, command):
    status, out, _ = command("predict", grey / "saved_model", photos / "photo.png")
    assert status == 0
    assert "values of shape [5, 4, 1]" in out
    status, out, _ = command("predict", grey / "saved_model", photos / "photo.png", "--json")
    assert np.shape(json.loads(out)[0]["answers"]["same"]["values"]) == (5, 4, 1)


def test_the_command_names_what_is_wrong(shop, photos, command):
    status, _, error = command("predict", shop.folder, photos / "text.jpg")
    assert status == 1
    assert error.startswith("mtl-keras: Expected an image file")
    assert command("predict", shop.folder)[0] == 2
    status, _, error = command("predict", shop.folder, photos / "photo.png", "--task", "colour")
    assert status == 1
    assert "task='colour'" in error
