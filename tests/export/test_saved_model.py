"""SavedModels: signatures by task, a free batch axis, and images as the bytes of their files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from export_graphs import answers, batch, several_kinds, with_heads

import mtl_keras as mtl
from mtl_keras.export import Predictor, saved_model
from mtl_keras.images import ImageFormat


def test_signatures_names_and_a_free_batch_axis(tmp_path):
    model = several_kinds()
    errors = saved_model(model, tmp_path / "shop" / "1")
    loaded = tf.saved_model.load(str(tmp_path / "shop" / "1"))
    tasks = ["zebra", "mask", "age", "Ant"]
    assert sorted(loaded.signatures) == sorted(["serving_default", "all_tasks", *[f"task_{task}" for task in tasks]])
    assert set(errors) == set(tasks)
    for size in (1, 3):
        inputs = batch(model, size, seed=size)
        expected = answers(model, inputs)
        for key in ("serving_default", "all_tasks"):
            found = loaded.signatures[key](**{name: tf.constant(value) for name, value in inputs.items()})
            assert sorted(found) == sorted(tasks)
            for task in tasks:
                np.testing.assert_allclose(found[task], expected[task], rtol=1e-5, atol=1e-5, err_msg=task)
        for task in tasks:
            found = loaded.signatures[f"task_{task}"](**{name: tf.constant(value) for name, value in inputs.items()})
            assert list(found) == [task]
            np.testing.assert_allclose(found[task], expected[task], rtol=1e-5, atol=1e-5)


def test_a_signature_for_one_task_computes_that_one_only(tmp_path):
    saved_model(several_kinds(), tmp_path / "1")
    graph = tf.saved_model.load(str(tmp_path / "1")).signatures["task_age"].graph
    operations = [node.name for node in graph.as_graph_def().library.function for node in node.node_def]
    assert any("age" in name for name in operations)
    assert not any("zebra" in name or "mask" in name for name in operations)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A SavedModel that takes image files, its model and what it does to pixels."""
    model = with_heads()
    before = {"image": {"resize": "pad", "background": 0}, "scale": 1 / 127.5, "offset": -1.0}
    path = tmp_path_factory.mktemp("photos") / "shop" / "1"
    saved_model(model, path, image_bytes=["photo"], before=before)
    return model, path, ImageFormat(12, 12, "pad", background=0)


def test_image_files_give_what_the_predictor_gives(photos):
    model, path, image_format = photos
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3)).astype("uint8") for size in ((12, 12), (40, 25), (9, 30))]
    files = [
        tf.io.encode_png(pictures[0]).numpy(),
        tf.io.encode_jpeg(pictures[1], quality=95).numpy(),
        tf.io.encode_png(pictures[2]).numpy(),
    ]
    found = tf.saved_model.load(str(path)).signatures["image_bytes"](photo=tf.constant(files))
    pixels = np.stack([image_format.read(file) for file in files])
    expected = answers(model, {"photo": pixels.astype("float32") / 127.5 - 1})
    for task, values in expected.items():
        # half a grey level here and there: two libraries resize
        np.testing.assert_allclose(found[task], values, rtol=0.02, atol=0.02, err_msg=task)
        np.testing.assert_allclose(found[task][0], values[0], rtol=1e-5, atol=1e-5, err_msg=task)
    # the other signatures are as they were, and what runs arrays does not see this one
    assert sorted(Predictor(path).outputs(np.zeros((2, 12, 12, 3), "float32"))) == sorted(expected)


def test_a_model_that_scales_pixels_itself_needs_nothing_said(tmp_path):
    x = keras.Input((6, 6, 1), name="scan")
    h = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x))
    model = mtl.MultiTaskModel(x, {"a": keras.layers.Dense(2, name="a")(h)})
    saved_model(model, tmp_path / "1", image_bytes=["scan"])
    picture = np.random.default_rng(1).integers(0, 256, (6, 6, 1)).astype("uint8")
    run = tf.saved_model.load(str(tmp_path / "1")).signatures["image_bytes"]
    found = run(scan=tf.constant([tf.io.encode_png(picture).numpy()]))["a"]
    np.testing.assert_allclose(found, model(picture[None].astype("float32"))["a"], atol=1e-5)


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^Expected ") as error:
        saved_model(several_kinds(), tmp_path / "1", image_bytes=["picture"])
    assert str(error.value) == (
        "Expected inputs among ['photo', 'extra']. Received: image_bytes=['picture']. Do correct the names."
    )
    with pytest.raises(ValueError, match="Expected no image for input 'extra', which takes another shape"):
        saved_model(several_kinds(), tmp_path / "1", image_bytes=["extra"])
    assert list(tmp_path.iterdir()) == []
