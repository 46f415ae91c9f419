"""ONNX files say what the Keras model says, by name; skipped where the extra `onnx` is not installed."""

import sys

import keras
import numpy as np
import pytest
from export_graphs import answers, batch, many_tasks, several_kinds, with_heads

from mtl_keras.export import Predictor, onnx, read_metadata

pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("tf2onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")


def test_outputs_have_their_names_whatever_their_order(tmp_path):
    model = several_kinds()
    errors = onnx(model, tmp_path / "model.onnx")
    assert list(errors) == ["zebra", "mask", "age", "Ant"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs = batch(model, 5)
    for task, values in answers(model, inputs).items():
        (found,) = session.run([task], inputs)
        np.testing.assert_allclose(found, values, atol=1e-4, err_msg=task)
    assert sorted(given.name for given in session.get_inputs()) == ["extra", "photo"]


def test_a_subset_of_tasks_and_what_the_file_says_of_itself(tmp_path):
    model = with_heads()
    onnx(model, tmp_path / "some.onnx", tasks=["colour", "price"], before={"scale": 1 / 255})
    assert list(read_metadata(tmp_path / "some.onnx").tasks) == ["colour", "price"]
    pixels = np.full((12, 12, 3), 90, np.uint8)
    answer = Predictor(tmp_path / "some.onnx").predict(pixels)
    expected = answers(model, {"photo": pixels[None].astype("float32") / 255})
    assert answer["price"].value == pytest.approx(expected["price"][0, 0], rel=1e-5)
    assert answer["price"].unit == "EUR"
    assert answer["colour"].label == ["red", "green", "blue"][expected["colour"][0].argmax()]


def test_what_is_refused(tmp_path, monkeypatch):
    model = many_tasks(2)

    def refused(name, **arguments):
        with pytest.raises(ValueError, match=r"^Expected ") as error:
            onnx(arguments.pop("model", model), tmp_path / name, **arguments)
        assert list(tmp_path.iterdir()) == []
        return str(error.value)

    assert refused("model.tflite").startswith("Expected a path that ends in .onnx. Received: path=")
    assert refused("model.onnx", tasks=["t09"]) == (
        "Expected tasks among ['t02', 't01'], each once. Received: tasks=['t09']. Do correct the names."
    )
    x = keras.Input((4,), name="x")
    waves = keras.layers.Lambda(lambda v: keras.ops.irfft((v, v)), name="waves", output_shape=(6,))
    text = refused("model.onnx", model=keras.Model(x, {"a": keras.layers.Dense(2)(waves(x))}))
    assert text.startswith(("Expected a graph that tf2onnx takes.", "Expected an ONNX file that loads."))
    (tmp_path / "foreign.onnx").write_bytes(b"no model at all")
    with pytest.raises(
        ValueError, match=r"^Expected an ONNX file that loads\. Received: path=.*\. Do export it again\.$"
    ):
        Predictor(tmp_path / "foreign.onnx")
    (tmp_path / "foreign.onnx").unlink()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert refused("model.onnx") == (
        "Expected the packages of the extra 'onnx'. Received: missing=['onnxruntime']. "
        "Do pip install 'mtl_keras[onnx]'."
    )
