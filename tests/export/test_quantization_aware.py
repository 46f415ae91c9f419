"""Training with the rounding of 8-bit files: the layers, the graph, and what it is worth."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from export_graphs import answers, batch, settled, several_kinds
from fragile import fragile, labelled

import mtl_keras as mtl
from mtl_keras.export import inference_graph, litert, quantization_aware, quantize
from mtl_keras.export._fake_quant import KERNELS, ActivationRange, RoundedWeights
from mtl_keras.export._nesting import without_nesting
from mtl_keras.export._runtimes import open_runtime

L = keras.layers


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (L.Dense(4), (5,)),
        (L.Conv1D(4, 2), (6, 3)),
        (L.Conv2D(4, 3, padding="same", strides=2), (6, 6, 3)),
        (L.Conv2DTranspose(4, 2, strides=2), (3, 3, 5)),
        (L.DepthwiseConv1D(2, depth_multiplier=2), (6, 3)),
        (L.DepthwiseConv2D(3, depth_multiplier=2), (6, 6, 3)),
        (L.SeparableConv2D(4, 3), (6, 6, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, L.Layer) else "",
)
def test_kernels_have_127_steps_either_way_per_output_channel(layer, shape):
    layer = type(layer).from_config(layer.get_config())  # weights drawn from this test's seed
    rounding = RoundedWeights(layer)
    rounding.build((None, *shape))
    assert set(KERNELS) >= {type(layer)}
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(rounding(x) ** 2)
    gradients = tape.gradient(loss, [v.value for v in rounding.trainable_variables])
    assert all(gradient is not None and np.any(np.asarray(gradient)) for gradient in gradients[:1])
    before = {name: np.array(getattr(layer, name)) for name in KERNELS[type(layer)]}
    for name, kernel in before.items():
        axes = KERNELS[type(layer)][name]
        others = tuple(i for i in range(kernel.ndim) if i - kernel.ndim not in axes and i not in axes)
        step = np.abs(kernel).max(axis=others, keepdims=True) / 127
        rounded = np.asarray(rounding.rounded(name))
        np.testing.assert_allclose(rounded / step, np.rint(kernel / step), atol=0.51)
        np.testing.assert_allclose(rounded / step, np.rint(rounded / step), atol=1e-3)
        assert np.abs(rounded - kernel).max() <= 0.51 * step.max()
    # what it computes is the plain layer with those kernels
    for name in before:
        getattr(layer, name).assign(rounding.rounded(name))
    np.testing.assert_allclose(layer(x), rounding(x), rtol=1e-4, atol=1e-4)


def test_limits_stretch_with_their_size_and_are_trained():
    layer = ActivationRange()
    layer.build((None, 2))
    layer.set_limits(0.5, 2.0)  # zero is always among the values
    assert [float(limit) for limit in layer.limits()] == [0.0, 2.0]
    layer.stretch.assign([0.0, np.log(2.0)])
    assert float(layer.limits()[1]) == pytest.approx(4.0)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(np.array([[9.0, 1.0]], "float32")))
    slope = np.asarray(tape.gradient(total, layer.stretch.value))
    # only what is cut off pulls: d(high exp(t))/dt = high
    np.testing.assert_allclose(slope, [0.0, 4.0], rtol=1e-5)


def test_the_copy_folds_normalizations_and_says_nearly_the_same(tmp_path):
    model = several_kinds()
    inputs = batch(model, 30)
    aware = quantization_aware(model, inputs, examples=30)
    kinds = [type(layer).__name__ for layer in aware.layers]
    assert "BatchNormalization" not in kinds
    assert kinds.count("RoundedWeights") == 7
    # behind both inputs, the two activations, the convolution and the sum, concatenation, features, logits of two heads
    assert kinds.count("ActivationRange") == 9
    expected, found = answers(model, inputs), answers(aware, inputs)
    for task, values in expected.items():
        assert 0 < np.abs(found[task] - values).max() / np.abs(values).max() < 0.1, task

    aware.save(tmp_path / "aware.keras")
    again = answers(keras.models.load_model(tmp_path / "aware.keras"), inputs)
    for task, values in found.items():
        np.testing.assert_array_equal(again[task], values)
    plain = inference_graph(aware)
    assert not {"RoundedWeights", "ActivationRange", "FixedRange"} & {type(layer).__name__ for layer in plain.layers}


@pytest.mark.parametrize("name", ["float32", "int8", "int8_full"])
def test_files_say_what_the_copy_says_with_the_limits_that_it_learnt(tmp_path, name):
    model = several_kinds()
    inputs = batch(model, 30)
    aware = quantization_aware(model, inputs, examples=30)
    if name != "float32":  # limits that no calibration would find: half of what the features are
        features = next(layer for layer in aware.layers if layer.name.startswith("features_"))
        features.set_limits(0.0, 0.5 * float(features.limits()[1]))
    litert(aware, tmp_path / "a.tflite", name, calibration=inputs, examples=30)
    found = open_runtime(tmp_path / "a.tflite").run("all_tasks", inputs)
    expected = answers(aware if name != "float32" else inference_graph(aware), inputs)
    for task, values in expected.items():
        limit = 1e-5 if name == "float32" else 0.03
        assert np.abs(found[task] - values).max() / max(1.0, np.abs(values).max()) < limit, task
    if name != "float32":  # and those half as wide are not what the model says
        assert np.abs(found["Ant"] - answers(model, inputs)["Ant"]).max() > 0.5


def test_models_used_as_layers_are_rounded_inside():
    def trunk(name):
        inner = keras.Sequential([keras.Input((4,)), L.Dense(5, "relu", name="low")], name=f"{name}_inner")
        x = keras.Input((4,))
        return keras.Model(x, L.Dense(3, name="high")(inner(x)), name=name)

    one, two, x, y = trunk("one"), trunk("two"), keras.Input((4,), name="x"), keras.Input((4,), name="y")
    joined = L.Concatenate()([one(x), one(y), two(y)])
    model = settled(keras.Model([x, y], {"b": L.Dense(1, name="b")(joined), "a": L.Dense(2, name="a")(joined)}))
    inputs = batch(model, 20)
    flat = without_nesting(model)
    assert sorted(layer.name for layer in flat.layers if isinstance(layer, L.Dense)) == sorted(
        ["one_inner_low", "low", "high", "two_high", "a", "b"]
    )
    for task, values in answers(model, inputs).items():
        np.testing.assert_array_equal(answers(flat, inputs)[task], values)
    aware = quantization_aware(model, inputs)
    assert sum(isinstance(layer, RoundedWeights) for layer in aware.layers) == 6  # the one called twice once
    for task, values in answers(model, inputs).items():
        assert 0 < np.abs(answers(aware, inputs)[task] - values).max() < 0.05, task


@pytest.fixture(scope="module")
def tuned():
    """A model that 8 bits ruin, its data, and copies trained for six epochs: with the rounding, and without."""
    model = fragile(60.0)
    x, y = labelled(model, 1500)
    train = x[:1200], {task: labels[:1200] for task, labels in y.items()}
    held = x[1200:], {task: labels[1200:] for task, labels in y.items()}
    aware, longer = quantization_aware(model, train), fragile(60.0)
    for copy in (aware, longer):
        keras.utils.set_random_seed(3)
        copy.compile(keras.optimizers.Adam(3e-3), weighting="pcgrad")
        copy.fit(*train, epochs=6, batch_size=40, verbose=0)
    return model, train, held, aware, longer


def test_a_task_that_rounding_afterwards_ruins_passes_the_gate(tuned, tmp_path):
    model, train, held, aware, longer = tuned
    limits = {"fine": 30, "coarse": 5}
    report = quantize(
        aware, tmp_path / "b", held, ["int8"], limits, calibration=train, rounds=1, threads=[1], reference=model
    )
    assert report.chosen == "int8"
    assert report.reference["fine"] == 1.0  # that of the model before

    def right(trained, name):
        path = tmp_path / f"{name}.tflite"
        litert(trained, path, "int8", calibration=train, tolerance=np.inf)
        found = open_runtime(path).run("all_tasks", {"x": held[0]})["fine"].argmax(axis=-1)
        known = held[1]["fine"] >= 0
        return 100 * np.mean(found[known] == held[1]["fine"][known])

    with_rounding = 100 - report.result("int8").drops["fine"]
    assert right(model, "afterwards") < 60  # refused: 40 points below
    # and it is the rounding that does it, not the epochs
    assert with_rounding > right(longer, "without") + 10


def test_heads_and_tasks_come_along(tuned):
    model, _, _, aware, _ = tuned
    assert isinstance(aware, mtl.MultiTaskModel)
    assert [type(task.head) for task in aware.tasks] == [type(task.head) for task in model.tasks]
    assert list(aware.output) == ["fine", "coarse"]
    assert aware.get_layer("fine") is not model.get_layer("fine")
