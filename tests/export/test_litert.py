"""LiteRT files: every preset says what the Keras model says, by name, in every signature."""

from importlib.util import find_spec

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from export_graphs import answers, batch, many_tasks, settled, several_kinds, with_heads

from mtl_keras.export import Predictor, litert
from mtl_keras.export._flatbuffer import from_bytes, to_bytes
from mtl_keras.export._presets import PRESETS
from mtl_keras.export._runtimes import open_runtime

# largest error of each preset on the graph of several kinds, as a share of each output's largest value
ERRORS = {"float32": 1e-5, "float16": 2e-3, "dynamic": 0.03, "int8": 0.08, "int8_full": 0.08, "int16x8": 0.03}
ERRORS |= {"weight_only_wi8": 0.03, "dynamic_wi8": 0.05, "weight_only_wi4": 0.4, "dynamic_wi4": 0.4}
EXTRA = pytest.mark.skipif(find_spec("ai_edge_quantizer") is None, reason="needs the extra quant")
NAMES = [pytest.param(name, marks=EXTRA) if preset.recipe else name for name, preset in PRESETS.items()]


@pytest.mark.parametrize("name", NAMES)
def test_every_signature_of_every_preset_says_what_the_model_says(in_presets, name):
    model, folder, inputs = in_presets
    runtime = open_runtime(folder / f"{name}.tflite")
    assert {key: sorted(names) for key, names in runtime.signatures().items()} == {
        "all_tasks": ["Ant", "age", "mask", "zebra"],
        **{f"task_{task}": [task] for task in ("zebra", "mask", "age", "Ant")},
    }
    expected, whole = answers(model, inputs), runtime.run("all_tasks", inputs)
    for task, values in expected.items():
        largest = np.abs(values).max()
        np.testing.assert_allclose(whole[task] / largest, values / largest, atol=ERRORS[name], err_msg=task)
        assert whole[task].shape == values.shape
        # the same numbers, not merely close ones: the weights and their scales are shared
        np.testing.assert_array_equal(runtime.run(f"task_{task}", inputs)[task], whole[task])


def tensors(path):
    model = from_bytes(path.read_bytes())
    return [tensor for graph in model.subgraphs for tensor in graph.tensors]


def types(path):
    names = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    return {names[tensor.type] for tensor in tensors(path)}


def test_presets_store_what_they_say(in_presets):
    _, folder, _ = in_presets
    assert types(folder / "float32.tflite") == {"FLOAT32", "INT32"}
    assert "FLOAT16" in types(folder / "float16.tflite")
    assert types(folder / "int8_full.tflite") == {"INT8", "INT32"}
    assert {"INT8", "INT16", "INT64"} <= types(folder / "int16x8.tflite")
    assert all(-1 not in list(t.shapeSignature or []) for t in tensors(folder / "int8_full.tflite"))
    details = Interpreter(str(folder / "int8_full.tflite")).get_signature_runner("task_age").get_input_details()
    assert {detail["dtype"] for detail in details.values()} == {np.int8}


@EXTRA
def test_recipes_store_weights_in_8_and_4_bits(in_presets):
    _, folder, _ = in_presets
    size = {name: (folder / f"{name}.tflite").stat().st_size for name in PRESETS}
    for way in ("weight_only", "dynamic"):
        assert "INT8" in types(folder / f"{way}_wi8.tflite")
        assert "INT4" in types(folder / f"{way}_wi4.tflite")
        assert size[f"{way}_wi4"] < size[f"{way}_wi8"] < size["float16"]


def test_recipes_ask_for_their_package(tmp_path, monkeypatch):
    monkeypatch.setattr("mtl_keras.export._extras.find_spec", lambda name: None)
    assert refused(tmp_path, many_tasks(2), quantization="dynamic_wi4") == (
        "Expected the packages of the extra 'quant'. Received: missing=['ai_edge_quantizer']. "
        "Do pip install 'mtl_keras[quant]'."
    )


def test_output_layers_stay_in_float_in_8_bits(tmp_path):
    """The 256 steps for an age of 40 ± 10 would begin at 0 if the age itself was stored."""
    x = keras.Input((6,), name="x")
    age = keras.layers.Rescaling(10.0, 40.0, name="age")(keras.layers.Dense(1, name="age_scaled")(x))
    model = settled(keras.Model(x, {"age": age}))
    inputs = {"x": np.random.default_rng(0).uniform(-1, 1, (64, 6)).astype("float32")}
    expected = answers(model, inputs)["age"]
    wrong = {}
    for name in ("int8", "int8_full"):
        litert(model, tmp_path / f"{name}.tflite", name, calibration=inputs)
        found = open_runtime(tmp_path / f"{name}.tflite").run("task_age", inputs)["age"]
        wrong[name] = np.abs(found - expected).mean()
    assert wrong["int8"] < 0.5 * wrong["int8_full"]
    assert wrong["int8"] < np.ptp(expected) / 255


def test_weights_are_stored_once_and_aligned(tmp_path):
    model = many_tasks(12)
    litert(model, tmp_path / "all.tflite")
    litert(model, tmp_path / "one.tflite", tasks=["t07"])
    whole = from_bytes((tmp_path / "all.tflite").read_bytes())
    kernels = [buffer for buffer in whole.buffers if buffer.data is not None and len(buffer.data) == 6 * 8 * 4]
    assert len(whole.subgraphs) == 13
    assert len(kernels) == 1
    data = (tmp_path / "all.tflite").read_bytes()
    assert data.index(bytes(kernels[0].data)) % 16 == 0
    assert from_bytes(to_bytes(whole)).subgraphs[12].name == whole.subgraphs[12].name
    assert (tmp_path / "all.tflite").stat().st_size < 5 * (tmp_path / "one.tflite").stat().st_size


def test_a_subset_of_tasks_drops_the_other_heads(tmp_path):
    model = several_kinds()
    litert(model, tmp_path / "some.tflite", tasks=["age", "zebra"])
    runtime = open_runtime(tmp_path / "some.tflite")
    assert sorted(runtime.signatures()) == ["all_tasks", "task_age", "task_zebra"]
    sizes = {len(b.data) for b in from_bytes((tmp_path / "some.tflite").read_bytes()).buffers if b.data is not None}
    kernel_of_ant = 32 * 2 * 4
    assert kernel_of_ant not in sizes
    assert list(Predictor(tmp_path / "some.tflite").manifest.tasks) == ["age", "zebra"]


@pytest.mark.parametrize("name", ["float32", "int8", "int8_full"])
def test_pixels_are_scaled_inside_the_file(tmp_path, name):
    model = with_heads()
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (10, 12, 12, 3)).astype("uint8")
    scaled = pixels.astype("float32") / 127.5 - 1
    before = {"scale": 1 / 127.5, "offset": -1.0}
    litert(model, tmp_path / "p.tflite", name, calibration=scaled, before=before, pixels=True)
    runner = Interpreter(str(tmp_path / "p.tflite")).get_signature_runner("all_tasks")
    assert runner.get_input_details()["photo"]["dtype"] is np.uint8
    if name == "int8_full":  # 8 bits hold pixels as they are
        assert runner.get_input_details()["photo"]["quantization"] == (1.0, 0)
    found, expected = Predictor(tmp_path / "p.tflite").outputs(pixels), answers(model, {"photo": scaled})
    for task, values in expected.items():
        tolerance = 1e-5 if name == "float32" else 0.03
        largest = max(1.0, np.abs(values).max())
        np.testing.assert_allclose(found[task] / largest, values / largest, atol=tolerance, err_msg=task)


def test_half_precision_models_are_rebuilt_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = with_heads()
    keras.config.set_dtype_policy("float32")
    errors = litert(model, tmp_path / "model.tflite", tolerance=2e-2)
    assert types(tmp_path / "model.tflite") <= {"FLOAT32", "INT32"}
    assert set(errors) == {"price", "colour", "extras"}


def test_a_free_batch_axis_and_a_fixed_one(tmp_path):
    model = many_tasks(2)
    inputs = batch(model, 7)
    litert(model, tmp_path / "free.tflite", batch_size=None)
    litert(model, tmp_path / "three.tflite", batch_size=3)
    assert open_runtime(tmp_path / "free.tflite").inputs()["x"][0] == [-1, 6]
    assert open_runtime(tmp_path / "three.tflite").inputs()["x"][0] == [3, 6]
    for name in ("free", "three"):
        found = open_runtime(tmp_path / f"{name}.tflite").run("all_tasks", inputs)
        for task, values in answers(model, inputs).items():
            np.testing.assert_allclose(found[task], values, atol=1e-5)


def refused(tmp_path, model, **arguments):
    with pytest.raises(ValueError, match=r"^Expected .*\. Received: .*\. Do .*\.$") as error:
        litert(model, tmp_path / "refused.tflite", **arguments)
    assert list(tmp_path.iterdir()) == []
    return str(error.value)


def test_what_is_refused_and_how(tmp_path):
    model = many_tasks(2)
    assert refused(tmp_path, model, quantization="int4") == (
        "Expected a quantization among ['float32', 'float16', 'dynamic', 'int8', 'int8_full', 'int16x8', "
        "'weight_only_wi8', 'weight_only_wi4', 'dynamic_wi8', 'dynamic_wi4']. "
        "Received: quantization='int4'. Do choose one."
    )
    assert refused(tmp_path, model, quantization="int8") == (
        "Expected calibration data for 'int8'. Received: calibration=None. "
        "Do pass calibration=, a data source, a tf.data.Dataset of batches or arrays."
    )
    assert refused(tmp_path, model, quantization="int8_full", batch_size=None) == (
        "Expected a fixed batch size for 'int8_full'. Received: batch_size=None. Do pass batch_size=1."
    )
    assert refused(tmp_path, model, pixels=True) == (
        "Expected before={'scale': ...} for float inputs among ['x'], to know what pixels are multiplied by. "
        "Received: before={}. Do pass it, or leave pixels out."
    )
    assert refused(tmp_path, model, tasks=["t01", "t09"]) == (
        "Expected tasks among ['t02', 't01'], each once. Received: tasks=['t01', 't09']. Do correct the names."
    )


def test_operations_without_a_litert_form_are_named_with_their_layer(tmp_path):
    x = keras.Input((4,), name="x")
    waves = keras.layers.Lambda(lambda v: keras.ops.real(keras.ops.fft2((v[None], v[None]))[0])[0], name="waves")
    text = refused(tmp_path, keras.Model(x, {"a": keras.layers.Dense(2)(waves(x))}))
    assert "layers=['waves']" in text
    assert text.startswith("Expected operations that LiteRT has built in.")


def test_layers_without_an_8_bit_form_are_named(tmp_path):
    x = keras.Input((4,), name="x")
    less = keras.layers.Lambda(lambda v: -v, name="less", output_shape=(4,))
    model = keras.Model(x, {"a": keras.layers.Dense(2)(less(x))})
    text = refused(tmp_path, model, quantization="int8_full", calibration=batch(model))
    assert text.startswith("Expected operations that LiteRT has in 8 bits.")
    assert "layers=['less']" in text
