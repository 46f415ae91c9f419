"""The demo page: what is in its folder, and what cannot be shown. `tests/web` drives it in a real browser."""

import json
import os
import stat

import keras
import numpy as np
import pytest
from exported import text_of
from PIL import Image

import mtl_keras as mtl
from mtl_keras.export import _demo_page as page_module
from mtl_keras.export import demo_page
from mtl_keras.images import ImageFormat


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """A node_modules folder with the names of the real one."""
    folder = tmp_path_factory.mktemp("npm") / "node_modules"
    for name in page_module._RUNTIME:
        path = folder / "@litertjs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// {name}")
    return folder


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("b.png", "a.JPG"):
        Image.new("RGB", (9, 7), (200, 10, 10)).save(folder / name, "PNG" if name.endswith("png") else "JPEG")
    (folder / ".hidden").write_text("")
    return folder


def test_everything_it_needs_is_in_the_folder(shop, modules, pictures, tmp_path):
    out = demo_page(shop.folder, tmp_path / "page", [pictures, pictures / "b.png"], title="A <shop>", litert=modules)
    assert out == tmp_path / "page"
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == {
        "index.html", "style.css", "page.json", "model.tflite",
        "js/answers.js", "js/app.js", "js/cards.js", "js/pixels.js",
        "litert/core.js", "litert/wasm-utils.js",
        "litert/wasm/litert_wasm_internal.js", "litert/wasm/litert_wasm_internal.wasm",
        "litert/wasm/litert_wasm_compat_internal.js", "litert/wasm/litert_wasm_compat_internal.wasm",
        "samples/1.jpg", "samples/2.png", "samples/3.png",
    }  # fmt: skip
    assert (out / "model.tflite").read_bytes() == (shop.folder / "model.tflite").read_bytes()
    page = json.loads((out / "page.json").read_text(encoding="utf-8"))
    assert page["title"] == "A <shop>"
    assert page["bytes"] == (shop.folder / "model.tflite").stat().st_size
    assert page["signature"] == "all_tasks"
    assert page["input"] == {
        "name": "image", "shape": [8, 8, 3], "dtype": "float32", "scale": 1 / 255, "offset": 0.0,
        "format": ImageFormat(8, 8, "pad").describe(),
    }  # fmt: skip
    assert list(page["tasks"]) == list(shop.expected)
    assert page["tasks"] == mtl.export.Manifest.read(shop.folder).tasks
    assert [sample["name"] for sample in page["samples"]] == ["a", "b", "b"]


def test_nothing_is_loaded_from_elsewhere(shop, modules, tmp_path):
    out = demo_page(shop.folder, tmp_path / "page", litert=modules)
    for path in out.rglob("*"):
        if path.suffix in (".html", ".css", ".js", ".json"):
            assert "http:" not in path.read_text(encoding="utf-8")
            assert "https:" not in path.read_text(encoding="utf-8")


def test_a_file_that_describes_itself_needs_no_manifest(shop, modules, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes((shop.folder / "model.tflite").read_bytes())
    out = demo_page(path, tmp_path / "page", litert=modules)
    page = json.loads((out / "page.json").read_text(encoding="utf-8"))
    assert page["title"] == "Shop"
    assert page["tasks"]["price"]["units"] == ["EUR"]


def test_only_the_tasks_in_the_file_are_shown(shop, modules, tmp_path):
    path = tmp_path / "model.tflite"
    mtl.export.litert(shop.model, path, tasks=["body", "zest"])
    # a manifest beside it that knows more tasks and fewer
    manifest = mtl.export.Manifest.of(shop.model)
    del manifest.tasks["body"]
    manifest.add_files(tmp_path)
    manifest.write(tmp_path)
    page = page_module.describe_page(path)
    assert list(page["tasks"]) == ["zest", "body"]
    assert page["tasks"]["body"] == {"kind": "values", "shape": [2]}


def test_models_that_browsers_do_not_run_are_refused(shop, modules, tmp_path):
    bare = tmp_path / "bare"
    x = keras.Input((4,), name="x")
    two = [keras.Input((4, 4, 1), name="left"), keras.Input((4, 4, 1), name="right")]
    image = keras.Input((4, 4, 1), name="image")
    models = {
        "image": keras.Model(image, {"a": keras.layers.Conv2D(2, 1, name="a")(image)}),
        "flat": keras.Model(x, {"a": keras.layers.Dense(2)(x)}),
        "two": keras.Model(two, {"a": keras.layers.Add()(two)}),
    }
    for name, model in models.items():
        mtl.export.litert(model, tmp_path / name / "model.tflite")
    mtl.export.litert(shop.model, tmp_path / "free" / "model.tflite", batch_size=None)
    mtl.export.litert(
        models["image"],
        tmp_path / "whole" / "model.tflite",
        "int8_full",
        calibration=np.eye(4, dtype="float32")[None, :, :, None],
    )
    bare.mkdir()
    dtypes = ["float32", "uint8", "int32"]
    wanted = f"Expected an input of shape [1, height, width, channels] and a dtype among {dtypes} for browsers"
    advice = "Do export with litert(batch_size=1)."
    for name, said in [
        ("flat", f"{wanted}. Received: input='x', shape=[1, 4], dtype='float32'. {advice}"),
        ("free", f"{wanted}. Received: input='image', shape=[-1, 8, 8, 3], dtype='float32'. {advice}"),
        ("two", "Expected a model with one input, an image. Received: inputs=['left', 'right']."
         " Do show another model."),
        ("whole", "Expected inputs and outputs in float or whole pixels for browsers. Received: scaled=['image', 'a']."
         " Do export with quantization='int8', whose inside is just as small."),
        ("bare", f"Expected a .tflite or .keras file or a saved_model folder in it. Received: path={str(bare)!r}."
         " Do export again."),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match="Expected") as error:
            demo_page(tmp_path / name, tmp_path / "page", litert=modules)
        assert text_of(error) == said
    path = shop.folder / "saved_model"
    with pytest.raises(ValueError, match="which browsers run") as error:
        demo_page(path, tmp_path / "page", litert=modules)
    assert text_of(error) == (
        f"Expected a .tflite file, which browsers run. Received: path={str(path)!r}. Do export one."
    )
    assert not (tmp_path / "page").exists()


def test_samples_must_be_images(shop, modules, pictures, tmp_path):
    (pictures / "c.txt").write_text("no picture")
    with pytest.raises(ValueError, match="an image file"):
        demo_page(shop.folder, tmp_path / "page", [pictures], litert=modules)
    assert not (tmp_path / "page").exists()


def test_nothing_is_overwritten(shop, modules, tmp_path):
    with pytest.raises(ValueError, match="free"):
        demo_page(shop.folder, tmp_path, litert=modules)


def test_an_incomplete_runtime_is_named_and_leaves_nothing(shop, tmp_path):
    with pytest.raises(ValueError, match="node_modules") as error:
        demo_page(shop.folder, tmp_path / "page", litert=tmp_path)
    missing = tmp_path / "@litertjs" / "core" / "dist" / "index.js"
    assert text_of(error) == (
        f"Expected a node_modules folder with {page_module.LITERT}. Received: missing={str(missing)!r}."
        f" Do run npm install {page_module.LITERT} there."
    )
    assert os.listdir(tmp_path) == []


def npm_that(tmp_path, monkeypatch, *lines):
    """Put a script called npm first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "npm"
    script.write_text("\n".join(["#!/bin/sh", *lines]))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_npm_fetches_the_runtime(shop, modules, tmp_path, monkeypatch):
    npm_that(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/said', f'cp -r {modules} "$3/node_modules"')
    out = demo_page(shop.folder, tmp_path / "page", litert=None)
    assert (out / "litert" / "core.js").read_text() == "// core/dist/index.js"
    said = (tmp_path / "said").read_text().split()
    assert said[:2] == ["install", "--prefix"]
    assert "--ignore-scripts" in said
    assert said[-1] == page_module.LITERT


def test_npm_that_fails_or_is_absent_is_named(shop, tmp_path, monkeypatch):
    npm_that(tmp_path, monkeypatch, "echo 'no registry' >&2", "exit 1")
    with pytest.raises(ValueError, match="npm") as error:
        demo_page(shop.folder, tmp_path / "page")
    assert text_of(error) == (
        f"Expected npm to fetch {page_module.LITERT}. Received: npm='no registry'."
        " Do connect to a registry, or pass litert=..., --litert on the command line."
    )
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="npm") as error:
        demo_page(shop.folder, tmp_path / "page")
    assert text_of(error) == (
        f"Expected npm, or the npm package {page_module.LITERT} in a node_modules folder. Received: npm='not found'."
        " Do install Node.js, or pass litert=..., --litert on the command line."
    )
    assert not (tmp_path / "page").exists()


def test_the_command_says_how_to_look_at_it(shop, modules, pictures, tmp_path, command):
    out = tmp_path / "page"
    status, said, _ = command("demo-page", shop.folder, "--out", out, "--samples", pictures, "--litert", modules)
    assert status == 0
    assert said.splitlines() == [
        f"Written to {out}: 0.0 MB",
        f"Look at it: python -m http.server --directory {out} 8000, then open http://localhost:8000",
    ]
    assert json.loads((out / "page.json").read_text())["title"] == "Shop"
    status, _, error = command("demo-page", shop.folder, "--out", out, "--litert", modules)
    assert status == 1
    assert error.startswith("mtl-keras: Expected a path that is free")
