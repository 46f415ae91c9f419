"""A loss weighting and a gradient method together, one step worked by hand from the gradients of each task."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl

RATE = 0.1
V = {"a": 2.0, "b": 0.5}


def gradients(model, x, y):
    """Losses, and each task's gradient of every variable, by plain TensorFlow."""
    variables = [v for layer in model.layers for v in layer.trainable_variables]
    losses, found = {}, {}
    for name in "ab":
        with tf.GradientTape() as tape:
            loss = keras.losses.get(tiny.LOSSES[name])(y[name], tf.squeeze(model(x)[name]))
            losses[name] = tf.reduce_mean(loss)
        slopes = tape.gradient(losses[name], [v.value for v in variables])
        found[name] = dict(zip([v.path for v in variables], slopes, strict=True))
    norms = {}
    for name in "ab":
        shared = [g for path, g in found[name].items() if path.split("/")[0] in ("conv", "dense")]
        norms[name] = float(tf.linalg.global_norm(shared))
    return {name: float(loss) for name, loss in losses.items()}, found, norms


def stepped(weighting, method=tiny.UnitNorm, **kwargs):
    """One SGD step: what every variable moved by, the step's gradients and the logs."""
    x, y = tiny.arrays(12)
    model = tiny.model()
    losses, found, norms = gradients(model, x, y)
    before = {v.path: v.numpy() for layer in model.layers for v in layer.trainable_variables}
    model.compile(keras.optimizers.SGD(RATE), loss=tiny.LOSSES, weighting=[weighting, method()], **kwargs)
    logs = model.fit(x, y, batch_size=12, verbose=0).history
    moved = {v.path: (before[v.path] - v.numpy()) / RATE for layer in model.layers for v in layer.trainable_variables}
    return model, losses, found, norms, moved, {key: value[0] for key, value in logs.items()}


@pytest.mark.parametrize("head_gradients", ["unweighted", "weighted"])
def test_one_step_by_hand(head_gradients):
    """Of the scaled losses 2 a and b / 2 unit norms are 1 / (2 |a|) and 2 / |b|: 1 / |g| is applied to each gradient.

    Heads train on the scaled losses, or with what is applied.
    """
    static = mtl.weightings.Static(V)
    _, _, found, norms, moved, logs = stepped(static, head_gradients=head_gradients)
    for path, step in moved.items():
        owner = path.split("/")[0]
        if owner in "ab":
            factor = V[owner] if head_gradients == "unweighted" else 1 / norms[owner]
            expected = factor * found[owner][path]
        else:
            expected = sum(found[name][path] / norms[name] for name in "ab")
        np.testing.assert_allclose(step, expected, rtol=2e-4, atol=2e-6, err_msg=path)
    for name in "ab":
        np.testing.assert_allclose(logs[f"{name}_weight"], 1 / norms[name], rtol=1e-4)


def test_an_aggregator_gets_the_gradients_of_scaled_losses():
    _, _, found, _, moved, logs = stepped(mtl.weightings.Static(V), tiny.RowSum)
    for path, step in moved.items():
        expected = sum(V[name] * found[name][path] for name in "ab" if found[name][path] is not None)
        np.testing.assert_allclose(step, expected, rtol=2e-4, atol=2e-6, err_msg=path)
    assert (logs["a_weight"], logs["b_weight"]) == (2.0, 0.5)


def test_what_the_loss_weighting_learns():
    """Uncertainty: d/ds of f exp(-s) L + s / 2 at s = 0 is 1/2 - f L, with f = 1 for classes and 1/2 for numbers."""
    model, losses, found, _, moved, logs = stepped("uncertainty")
    log_variances = model.weighting.loss_weighting.log_variances.numpy()
    expected = -RATE * np.array([0.5 - losses["a"], 0.5 - 0.5 * losses["b"]])
    np.testing.assert_allclose(log_variances, expected, rtol=1e-4)
    np.testing.assert_allclose(moved["b/kernel"], 0.5 * found["b"]["b/kernel"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(logs["loss"], sum(logs[f"{n}_weight"] * losses[n] for n in "ab"), rtol=1e-5)


def test_a_composition_comes_back_from_a_file(tmp_path):
    model = tiny.model()
    model.compile("adam", loss=tiny.LOSSES, weighting=("pcgrad", "uncertainty"), scope="features")
    data = tiny.dataset(*tiny.arrays(32))
    model.fit(data, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [part.name for part in loaded.weighting.inners] == ["uncertainty", "pcgrad"]
    assert model.fit(data, verbose=0).history == loaded.fit(data, verbose=0).history


def test_parts_that_do_not_go_together_are_refused_by_compile():
    model = tiny.model()
    with pytest.raises(ValueError, match="Expected one weighting") as error:
        model.compile("sgd", loss=tiny.LOSSES, weighting=["pcgrad", "gradvac"])
    assert str(error.value) == (
        "Expected one weighting that reads losses and one that reads gradients. Received: parts=['pcgrad', 'gradvac']. "
        'Do pass two, e.g. ["uncertainty", "pcgrad"].'
    )
