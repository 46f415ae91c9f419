"""A task whose loss or gradient is not finite sits out the step, and the others train as if its labels were missing."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl

ONE, TWO = tf.distribute.get_strategy(), tiny.replicas(2)
BAD = 99.0  # labels and pixels above 90 make gradients overflow


@tf.custom_gradient
def overflowing(tensor, flag):
    """The tensor itself, whose gradient is infinite where the flag says so."""
    return tensor, lambda g: (g * tf.where(flag, tf.cast(float("inf"), g.dtype), tf.cast(1.0, g.dtype)), None)


def sensitive(labels, predicted):
    """A squared error that is finite, with a gradient that is not."""
    is_bad = tf.reduce_any(labels > 90.0)
    predicted = tf.cast(overflowing(predicted, is_bad), labels.dtype)
    return tf.reduce_mean(tf.square(tf.where(labels > 90.0, 0.0, labels) - predicted), axis=-1)


class SensitivePixels(keras.layers.Layer):
    """A layer of the trunk through which gradients overflow where a pixel is bad."""

    def call(self, tensor, pixels):
        is_bad = pixels > 90.0
        return overflowing(tf.where(is_bad, tf.zeros_like(tensor), tensor), tf.reduce_any(is_bad))


def made(strategy=ONE, layer=None, optimizer=None, graph=tiny.graph, **kwargs):
    with strategy.scope():
        inputs, outputs = graph()
        if layer is not None:
            x = keras.Input((8, 8, 1))
            scaled = keras.layers.Conv2D(1, 1, name="before")(x)
            outputs = keras.Model(inputs, outputs)(layer(scaled, x))
            inputs = x
        model = mtl.MultiTaskModel(inputs, outputs)
    settings = {"loss": tiny.LOSSES, "metrics": {"a": ["accuracy"], "b": ["mae"]}, **kwargs}
    model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), **settings)
    return model


def three_batches(value, rows=slice(20, 21)):
    """`b` has a label `value` in the second batch of three."""
    x, y = tiny.arrays(48)
    y["b"][rows] = value
    return tiny.dataset(x, y, 16)


def missing():
    """`b` has no label in the second batch."""
    return three_batches(np.nan, slice(16, 32))


METHODS = {
    "losses": {"weighting": "uncertainty"},
    "features": {"weighting": ["dwa", "test_unit_norm"], "scope": "features"},
    "jacobian": {"weighting": "test_row_sum"},
    "halves": {"weighting": "modo"},
}


@pytest.mark.parametrize("method", METHODS)
def test_an_infinite_label_is_a_missing_one(method):
    """To the weights, the weighting's state and the other task; the step is counted, and said once."""
    model = made(**METHODS[method])
    rewind = tiny.rewinding(model)
    expected = model.fit(missing(), epochs=2, verbose=0).history
    without = model.get_weights()  # of the layers and of the weighting
    rewind()
    with pytest.warns(UserWarning, match="Task 'b' sat out 1 of the steps of epoch 1") as told:
        logs = model.fit(three_batches(np.inf), epochs=2, verbose=0).history
    assert len([w for w in told if "sat out" in str(w.message)]) == 1
    for found, value in zip(model.get_weights(), without, strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-6)
    assert logs.pop("b_sat_out") == [1.0, 1.0]
    assert logs.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(logs[key], values, rtol=1e-5, err_msg=key)


def test_history_is_as_long_for_what_begins_later():
    x, y = tiny.arrays(16)
    model = made()
    epochs = iter([0.0, np.inf, 0.0])

    def generate():
        yield x, {**y, "b": np.full(16, next(epochs), "float32")}

    spec = tf.nest.map_structure(lambda a: tf.TensorSpec(a.shape, a.dtype), (x, y))
    data = tf.data.Dataset.from_generator(generate, output_signature=spec)
    with pytest.warns(UserWarning, match="Task 'b' sat out 1 of the steps of epoch 2"):
        # validation counts anew, before the epoch ends
        history = model.fit(data, validation_data=missing(), epochs=3, verbose=0).history
    assert history["b_sat_out"] == [0.0, 1.0, 0.0]
    assert np.isfinite(model.evaluate(x, y, return_dict=True, verbose=0)["loss"])
    bad = {**y, "b": np.full(16, np.inf, "float32")}
    assert model.evaluate(x, bad, return_dict=True, verbose=0)["b_loss"] == np.inf, "evaluation hides nothing"


def test_a_graph_without_a_clean_cut_leaves_out_infinite_losses():
    def two_towers():
        keras.utils.set_random_seed(3)
        x = keras.Input((8, 8, 1))
        h = keras.layers.Flatten()(x)
        last = keras.layers.Dense(1, name="used_twice")
        a = keras.layers.Dense(6, name="a_hidden")(h)
        b = keras.layers.Dense(6, name="b_hidden")(h)
        return x, {"a": keras.layers.Dense(5, "softmax", name="a")(last(a)), "b": last(b)}

    model = made(graph=two_towers, loss={**tiny.LOSSES, "b": "mae"})
    assert model.plan.trunk is None
    with pytest.warns(UserWarning, match="Task 'b' sat out 1 of the steps"):
        model.fit(three_batches(np.inf), verbose=0)
    assert all(np.isfinite(v.numpy()).all() for v in model.trainable_variables)


def scaling(initial_scale=1024.0):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05), initial_scale=initial_scale)


def scale_of(model):
    return float(keras.ops.convert_to_numpy(model.optimizer.dynamic_scale))


def test_a_gradient_that_overflows_in_one_task_lowers_the_loss_scale():
    """On one device and on two, of which one alone sees the label."""
    keras.config.set_dtype_policy("mixed_float16")
    settings = {"loss": {**tiny.LOSSES, "b": sensitive}, "weighting": "uncertainty"}
    reference = made(optimizer=scaling(), **settings)
    reference.fit(missing(), verbose=0)
    assert scale_of(reference) == 1024.0
    for strategy in (ONE, TWO):
        model = made(strategy, optimizer=scaling(), **settings)
        logs = model.fit(three_batches(BAD), verbose=0).history
        assert logs["b_sat_out"] == [1.0]
        assert scale_of(model) == 512.0
        assert int(keras.ops.convert_to_numpy(model.optimizer.step_counter)) == 1, "steps since the scale was lowered"
        assert tiny.difference(model, reference) < 1e-3
        assert np.isfinite(logs["b_loss"]).all()


def test_a_nan_in_an_image_costs_a_step_and_not_the_run():
    """On two replicas, of which one has the image: neither weights nor the statistics of normalization take it over."""
    x, y = tiny.arrays(16)
    for pixel, policy in ((np.nan, "float32"), (np.inf, "mixed_float16")):
        keras.config.set_dtype_policy(policy)
        images = x.copy()
        images[12, 3, 3] = pixel
        model = made(TWO, graph=lambda: tiny.graph(batch_norm=True), optimizer=scaling() if "16" in policy else None)
        before = [v.numpy() for v in model.variables if v.dtype == "float32"]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model.fit(tiny.dataset(images, y, 16), verbose=0)
        for task in ("a", "b"):
            assert sum(f"Task {task!r} sat out 1 of the steps" in str(w.message) for w in told) == 1
        for variable, value in zip([v for v in model.variables if v.dtype == "float32"], before, strict=True):
            if variable.path.startswith(("conv", "norm", "dense", "a/", "b/")):
                np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


def test_a_gradient_whose_square_is_not_finite_is_none():
    model = made(loss_weights={"a": 1e25, "b": 1.0}, optimizer=keras.optimizers.SGD(1e-30))
    before = [v.numpy() for v in model.trainable_variables]
    x, y = tiny.arrays(16)
    with pytest.warns(UserWarning, match="sat out 1 of the steps"):
        model.fit(tiny.dataset(x, y, 16), verbose=0)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


def test_overflows_are_told_where_the_loss_scale_does_not_explain_them():
    for policy, optimizer in (("mixed_float16", scaling(1.0)), ("mixed_bfloat16", None)):
        keras.config.set_dtype_policy(policy)
        model = made(optimizer=optimizer, loss={**tiny.LOSSES, "b": sensitive})
        with pytest.warns(UserWarning, match="Task 'b' sat out 1 of the steps of epoch 1"):
            assert model.fit(three_batches(BAD), verbose=0).history["b_sat_out"] == [1.0]


def test_a_step_in_which_all_gradients_overflow_is_skipped_on_all_replicas():
    """Keras asks the first replica alone; here the second one has the bad pixel."""
    keras.config.set_dtype_policy("mixed_float16")
    x, y = tiny.arrays(16)
    x[15] = BAD
    for strategy in (ONE, TWO):
        model = made(strategy, SensitivePixels(), optimizer=scaling(), weighting="uncertainty")
        before = [v.numpy() for v in model.trainable_variables]
        model.fit(tiny.dataset(x, y, 16), verbose=0)
        for variable, value in zip(model.trainable_variables, before, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
        assert scale_of(model) == 512.0
        assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 0


def test_a_step_in_which_all_tasks_overflow_blames_none():
    keras.config.set_dtype_policy("mixed_float16")
    model = made(optimizer=scaling(), loss={"b": sensitive}, metrics=None)
    before = [v.numpy() for v in model.trainable_variables]
    x, y = tiny.arrays(16)
    y["b"][3] = BAD
    history = model.fit(tiny.dataset(x, y, 16), verbose=0).history
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert scale_of(model) == 512.0
    assert "b_sat_out" not in history


def test_methods_see_gradients_without_the_loss_scale():
    """The weights that divide gradients by their norms are the same whatever the scale, and about those of float32."""

    def weights_of(model):
        logs = model.fit(tiny.dataset(*tiny.arrays(16)), verbose=0).history
        return [logs[f"{task}_weight"][0] for task in ("a", "b")]

    method = {"weighting": "test_unit_norm", "scope": "parameters"}
    reference = weights_of(made(**method))
    for policy in ("mixed_float16", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        model = made(optimizer=scaling(64.0), **method)
        rewind = tiny.rewinding(model)
        low = weights_of(model)
        rewind()
        model.optimizer.dynamic_scale.assign(4096.0)
        np.testing.assert_allclose(weights_of(model), low, rtol=1e-3)
        assert scale_of(model) == 4096.0
        np.testing.assert_allclose(low, reference, rtol=0.05)
