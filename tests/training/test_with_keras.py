"""What Keras offers around a step works with methods that read gradients, and with what methods remember."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl


def compiled(weighting, optimizer="sgd", **kwargs):
    model = tiny.model()
    model.compile(optimizer, loss=tiny.LOSSES, weighting=weighting, **kwargs)
    return model


def moved(weighting, optimizer, **kwargs):
    """What one step on 16 examples moves every variable by, and the model."""
    model = compiled(weighting, optimizer, run_eagerly=True, **kwargs)
    before = {v.path: v.numpy() for v in model.trainable_variables}
    model.fit(*tiny.arrays(16), batch_size=16, verbose=0)
    return {v.path: before[v.path] - v.numpy() for v in model.trainable_variables}, model


def global_norm(steps):
    return np.sqrt(sum((step.astype("float64") ** 2).sum() for step in steps.values()))


def test_clipping_sees_the_combined_gradient():
    plain, _ = moved("pcgrad", keras.optimizers.SGD(1.0))
    norm = global_norm(plain)
    expected = {
        "global_clipnorm": lambda step: step * 0.01 / norm,
        "clipnorm": lambda step: step * min(0.01 / np.linalg.norm(step), 1.0),
        "clipvalue": lambda step: np.clip(step, -0.01, 0.01),
    }
    for argument, clipped in expected.items():
        steps, _ = moved("pcgrad", keras.optimizers.SGD(1.0, **{argument: 0.01}))
        for path, step in steps.items():
            np.testing.assert_allclose(step, clipped(plain[path]), rtol=1e-3, atol=1e-6, err_msg=f"{argument} {path}")


@pytest.mark.parametrize("weighting", ["pcgrad", "uncertainty", "graddrop"])
def test_optimizers_of_several_parts_and_schedules(weighting):
    """Keras' MultiOptimizer: the convolution has a rate of 0; the others' rate falls to 0 behind the first step."""
    parts = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.1, 0.0]))
    )
    parts["conv/.*"] = keras.optimizers.SGD(0.0)
    steps, model = moved(weighting, keras.optimizers.MultiOptimizer(parts))
    for path, step in steps.items():
        assert np.any(step) == ("conv" not in path), path
    before = {v.path: v.numpy() for v in model.trainable_variables}
    model.fit(*tiny.arrays(16), batch_size=16, verbose=0)
    assert [v.path for v in model.trainable_variables if np.any(v.numpy() != before[v.path])] == []


@pytest.mark.parametrize("weighting", [lambda: mtl.weightings.EveryN("gradvac", n=2), lambda: "dbmtl"])
def test_several_steps_in_one_execution(weighting):
    data, made = tiny.dataset(*tiny.arrays(48)), []
    for steps in (1, 3):
        model = compiled(weighting(), keras.optimizers.SGD(0.05), steps_per_execution=steps)
        model.fit(data, epochs=2, verbose=0)
        made.append(model)
    assert tiny.difference(*made) < 1e-6
    for one, other in zip(made[0].weighting.variables, made[1].weighting.variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, err_msg=one.path)


@pytest.mark.usefixtures("optimised_graphs")  # XLA wants shapes that are folded to constants
def test_xla_compiles_the_whole_step():
    """Keras does so by itself where there is one GPU. Losses are checked to be positive here, labels to be in range."""
    data, made = tiny.dataset(*tiny.arrays(32)), []
    for compiled_by_xla in (False, True):
        model = compiled("famo", keras.optimizers.SGD(0.05), jit_compile=compiled_by_xla)
        model.fit(data, callbacks=[mtl.callbacks.WatchGradients(gradients=1)], verbose=0)
        made.append(model)
    assert tiny.difference(*made) < 1e-6
    np.testing.assert_allclose(*[model.weighting.logits.numpy() for model in made], rtol=1e-4)


def test_a_step_that_overflows_leaves_the_methods_memory():
    """At a loss scale of 1e9 all float16 gradients are infinite: nothing moves, until the scale has come down."""
    keras.config.set_dtype_policy("mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=1e9)
    model = compiled("dbmtl", optimizer)
    memory, before = [v.numpy() for v in model.weighting.variables], model.get_layer("conv").kernel.numpy()
    logs = model.fit(*tiny.arrays(32), batch_size=16, shuffle=False, verbose=0).history
    np.testing.assert_array_equal(model.get_layer("conv").kernel.numpy(), before)
    for variable, value in zip(model.weighting.variables, memory, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    assert all(np.isfinite(value).all() for value in logs.values())
    model.fit(*tiny.arrays(32), batch_size=16, shuffle=False, epochs=10, verbose=0)
    assert np.abs(model.get_layer("conv").kernel.numpy() - before).max() > 0
    for variable, value in zip(model.weighting.variables, memory, strict=True):
        assert np.isfinite(variable.numpy()).all()
        assert np.any(variable.numpy() != value)


def loaded(path, weighting):
    """A model with another weighting, trained for a step, that has loaded the weights; its warnings."""
    model = compiled(weighting, run_eagerly=True)
    model.fit(*tiny.arrays(16), batch_size=16, verbose=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.load_weights(path)
    return model, [str(warning.message) for warning in caught if "weighting" in str(warning.message)]


@pytest.mark.parametrize("weighting", ["imtll", "gradnorm", ["uncertainty", "pcgrad"]])
def test_state_of_another_weighting_is_not_taken_over(tmp_path, weighting):
    """`imtll` has a variable of the same shape as `uncertainty`, which plain Keras gives it."""
    _, source = moved("uncertainty", keras.optimizers.SGD(0.1))
    source.save_weights(tmp_path / "model.weights.h5")
    same, none = loaded(tmp_path / "model.weights.h5", "uncertainty")
    np.testing.assert_array_equal(same.weighting.log_variances.numpy(), source.weighting.log_variances.numpy())
    assert none == []
    other, warned = loaded(tmp_path / "model.weights.h5", weighting)
    assert tiny.difference(source, other) == 0.0
    fresh = compiled(weighting)
    for variable, new in zip(other.weighting.variables, fresh.weighting.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), new.numpy())
    if weighting == "imtll":
        assert warned == [
            "Expected the state of weighting 'imtll' for 2 tasks. Received: saved=['uncertainty.log_variances']. "
            "Do load weights that were saved with this weighting, or go on: it begins afresh."
        ]
    assert len(warned) == (2 if isinstance(weighting, list) else 1)


def test_weights_without_any_state_begin_it_afresh(tmp_path):
    compiled("equal").save_weights(tmp_path / "model.weights.h5")
    _, warned = loaded(tmp_path / "model.weights.h5", "uncertainty")
    assert [text.split("Received: ")[1].split(". ")[0] for text in warned] == ['saved="another weighting\'s"']
    keras.Model(*tiny.graph()).load_weights(tmp_path / "model.weights.h5")


def test_sparse_inputs_of_a_dataset():
    x = keras.Input((4,), sparse=True)
    h = keras.layers.Dense(3)(x)
    model = mtl.MultiTaskModel(x, {name: keras.layers.Dense(1, name=name)(h) for name in "ab"})
    model.compile("sgd", loss="mse")
    labels = {"a": np.ones(8), "b": np.zeros(8)}
    given = [tf.sparse.from_dense(np.eye(8, 4)), np.eye(8, 4)]
    one, other = (model.evaluate(tiny.dataset(part, labels, 4), verbose=0) for part in given)
    assert one == pytest.approx(other, rel=1e-6)
