"""The demo page in a real browser says what Python says, of every task, for every kind of picture."""

import base64
import os
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

import mtl_keras as mtl
from mtl_keras.export import ClassResult, LabelsResult, Predictor, demo_page
from mtl_keras.images import ImageFormat
from pipelines.multi_fashion import samples

EXAMPLE = tiny.ROOT / "savedmodels" / "multi_fashion" / "example"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """One picture, 21 wide and 14 high, in the forms that cameras and programs write."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    blots = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    picture = blots.resize((21, 14), Image.Resampling.BICUBIC)
    picture.save(folder / "colour.png")
    picture.save(folder / "photo.jpg", quality=90)
    picture.convert("L").save(folder / "grey.png")
    picture.resize((190, 333)).save(folder / "tall.png")
    picture.resize((8, 8)).save(folder / "fits.png")
    picture.save(folder / "some.webp", lossless=True)
    picture.convert("P").save(folder / "palette.gif")
    glass = picture.copy()
    glass.putalpha(Image.fromarray(np.where(np.arange(14 * 21).reshape(14, 21) % 3 == 0, 0, 255).astype(np.uint8)))
    glass.save(folder / "holes.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", quality=90, exif=turned)
    return folder


def state(browser, *wanted):
    """Wait until the page is in one of these states; gives it."""
    from selenium.webdriver.support.ui import WebDriverWait

    def reached(driver):
        now = driver.execute_script("return document.documentElement.dataset.state")
        return now if now in wanted else None

    return WebDriverWait(browser, 120, poll_frequency=0.05).until(reached)


def opened(browser, serve, folder):
    browser.get(serve(folder))
    assert state(browser, "ready", "failed") == "ready", alert(browser)


def alert(browser):
    return browser.find_element("id", "alert").text


def answers(browser):
    """What the page found, once it has answered."""
    assert state(browser, "answered", "failed") == "answered", alert(browser)
    return browser.execute_script("return globalThis.demo")


def picked(browser, name):
    browser.find_element("css selector", f'[data-sample="{name}"]').click()
    found = answers(browser)
    assert found["name"] == name
    return found["results"]


def compare(found, expected):
    """Results of the page with results of `Predictor`, task by task."""
    assert set(found) == set(expected)
    for task, result in expected.items():
        if isinstance(result, ClassResult):
            assert found[task]["label"] == result.label
            assert found[task]["score"] == pytest.approx(result.score, abs=1e-5)
            assert [one["label"] for one in found[task]["top"]] == [label for label, _ in result.top]
            scores = result.probabilities
        elif isinstance(result, LabelsResult):
            assert found[task]["labels"] == result.labels
            scores = result.scores
        else:
            assert found[task]["values"] == pytest.approx(np.atleast_1d(result.value), rel=1e-5, abs=1e-5)
            assert found[task]["units"] == np.atleast_1d(result.unit).tolist()
            continue
        assert [one["label"] for one in found[task]["scores"]] == list(scores)
        assert [one["score"] for one in found[task]["scores"]] == pytest.approx(list(scores.values()), abs=1e-5)


def test_every_task_says_what_python_says(browser, serve, modules, shop, photos, tmp_path):
    opened(browser, serve, demo_page(shop.folder, tmp_path / "page", [photos], litert=modules))
    predictor = Predictor(shop.folder)
    files = sorted(photos.iterdir())
    buttons = browser.find_elements("css selector", "#strip button")
    assert [button.get_dom_attribute("data-sample") for button in buttons] == [file.stem for file in files]
    for file in files:
        compare(picked(browser, file.stem), predictor.predict(file))
        shown = browser.find_element("css selector", '[data-task="price"] .answer').text
        value = predictor.predict(file)["price"].value
        assert shown.replace(",", "") == f"{float(f'{value:.4g}'):g} EUR"
        pressed = [b.get_dom_attribute("data-sample") for b in buttons if b.get_dom_attribute("aria-pressed") == "true"]
        assert pressed == [file.stem]
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith((browser.current_url, "blob:")) for name in loaded)


def test_pixels_are_those_of_python(browser, serve, modules, shop, photos, tmp_path):
    """Decoding, grey, resize modes: every pixel, for sizes that grow, shrink and keep a side."""
    opened(browser, serve, demo_page(shop.folder, tmp_path / "page", [photos], litert=modules))
    script = """
        const [file, format, done] = arguments;
        (async () => {
          const { decode, formatted } = await import("/js/pixels.js");
          const blob = await (await fetch(file)).blob();
          return Array.from(formatted(await decode(blob, format.background), format).data);
        })().then(done, (error) => done(String(error)));
    """
    files = list(enumerate(sorted(photos.iterdir()), start=1))
    for resize in ("fit", "fill", "pad"):
        for height, width in ((8, 8), (14, 30), (5, 50)):
            for channels in (1, 3):
                made = ImageFormat(height, width, resize, channels, background=7)
                for number, file in files:
                    found = browser.execute_async_script(script, f"samples/{number}{file.suffix}", made.describe())
                    expected = made.read(file)
                    assert not isinstance(found, str), found
                    np.testing.assert_array_equal(np.reshape(found, expected.shape), expected, f"{file.name} {made}")


def test_a_file_can_be_chosen_and_dropped_and_what_is_no_picture_is_named(
    browser, serve, modules, shop, photos, tmp_path
):
    opened(browser, serve, demo_page(shop.folder, tmp_path / "page", litert=modules))
    predictor = Predictor(shop.folder)
    chooser = browser.find_element("id", "file")
    chooser.send_keys(str(photos / "colour.png"))
    compare(answers(browser)["results"], predictor.predict(photos / "colour.png"))

    (tmp_path / "text.png").write_text("no picture")
    chooser.send_keys(str(tmp_path / "text.png"))
    assert state(browser, "failed") == "failed"
    assert alert(browser).startswith("This browser cannot read text.png as a picture")

    # chosen again after a failure, the same file is answered again
    chooser.send_keys(str(photos / "colour.png"))
    compare(answers(browser)["results"], predictor.predict(photos / "colour.png"))
    assert alert(browser) == ""

    drop = """
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
        document.getElementById("drop").dispatchEvent(
          new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
    """
    browser.execute_script(drop, base64.b64encode((photos / "grey.png").read_bytes()).decode())
    compare(answers(browser)["results"], predictor.predict(photos / "grey.png"))
    assert browser.find_element("id", "caption").text == "dropped.png"


def test_pixel_inputs_and_smaller_weights_run_too(browser, serve, modules, shop, photos, tmp_path):
    path = tmp_path / "small" / "model.tflite"
    calibration = shop.images.astype("float32") / 255
    before = {"scale": 1 / 255, "image": {"resize": "pad"}}
    mtl.export.litert(shop.model, path, "dynamic", before=before, calibration=calibration, pixels=True)
    opened(browser, serve, demo_page(path, tmp_path / "page", [photos / "colour.png"], litert=modules))
    compare(picked(browser, "colour"), Predictor(path).predict(photos / "colour.png"))


def test_the_example_of_this_repository(browser, serve, modules, tmp_path):
    """Also keeps the picture for the documentation, if told where."""
    pictures = samples.write(tmp_path / "pictures", tmp_path / "build", count=10)
    opened(browser, serve, demo_page(EXAMPLE, tmp_path / "page", [pictures], litert=modules))
    predictor = Predictor(EXAMPLE)
    for picture in sorted(pictures.iterdir()):
        compare(picked(browser, picture.stem), predictor.predict(picture))
    chosen = sorted(pictures.iterdir())[2].stem
    picked(browser, chosen)
    browser.execute_script("document.activeElement.blur()")
    assert "ms" in browser.find_element("id", "timing").text
    if os.environ.get("MTL_KERAS_SCREENSHOT"):
        Path(os.environ["MTL_KERAS_SCREENSHOT"]).parent.mkdir(parents=True, exist_ok=True)
        browser.set_window_size(1200, 960)
        browser.execute_async_script("setTimeout(arguments[0], 400)")  # bars grow
        browser.save_screenshot(os.environ["MTL_KERAS_SCREENSHOT"])
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        # nothing sticks out at the side of a phone, and the answers come before the other samples
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        tops = {
            part: browser.execute_script(f"return document.querySelector('{part}').getBoundingClientRect().top")
            for part in ("#drop", ".answers", ".samples")
        }
        assert tops["#drop"] < tops[".answers"] < tops[".samples"]
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_damaged_model_is_named_on_the_page(browser, serve, modules, shop, tmp_path):
    folder = demo_page(shop.folder, tmp_path / "page", litert=modules)
    (folder / "model.tflite").write_bytes(b"TFL3 is not here")
    browser.get(serve(folder))
    assert state(browser, "ready", "failed") == "failed"
    assert alert(browser)
    assert browser.find_element("id", "facts").text == "The model could not be loaded."
