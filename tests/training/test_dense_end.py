"""The Gramian of a dense layer before the cut, without its gradients, is that of its gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mtl_keras as mtl
from mtl_keras.gradients import dense
from mtl_keras.training.dense_end import MANY

K, SIZE_IN, SIZE_OUT = 5, 64, 6
FEW_EXAMPLES, MANY_EXAMPLES = 3, 200


def made(batch, activation="relu", use_bias=True, seed=0):
    """A layer, what goes into it, and gradients at its outputs."""
    keras.utils.set_random_seed(seed)
    layer = keras.layers.Dense(SIZE_OUT, activation, use_bias=use_bias, bias_initializer="random_normal")
    layer.build((None, SIZE_IN))
    rng = np.random.default_rng(seed)
    inputs = tf.constant(rng.normal(size=(batch, SIZE_IN)), tf.float32)
    return layer, inputs, tf.constant(rng.normal(size=(K, batch, SIZE_OUT)), tf.float32)


def of_gradients(layer, inputs, rows):
    """The Gramian of all tasks' gradients, in float64."""
    with tf.GradientTape(persistent=True) as tape:
        outputs = layer(inputs)
    variables = [v.value for v in layer.trainable_variables]
    found = [tape.gradient(outputs, variables, output_gradients=row) for row in rows]
    jacobian = np.array([np.concatenate([np.ravel(g) for g in of_task]) for of_task in found], np.float64)
    return jacobian @ jacobian.T


@pytest.mark.parametrize("batch", [FEW_EXAMPLES, MANY_EXAMPLES])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("activation", [function.__name__ for function in dense.ACTIVATIONS])
def test_gramian_is_that_of_the_gradients(activation, use_bias, batch, monkeypatch):
    layer, inputs, rows = made(batch, activation, use_bias)
    # run eagerly, only one of the two ways is taken
    monkeypatch.setattr(dense, "_by_gradients" if batch == FEW_EXAMPLES else "_by_examples", None)
    found, expected = dense.gramian(layer, inputs, rows).numpy(), of_gradients(layer, inputs, rows)
    norms = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(found / np.outer(norms, norms), expected / np.outer(norms, norms), atol=2e-6)


@pytest.mark.parametrize("batch", [FEW_EXAMPLES, MANY_EXAMPLES])
def test_gradients_of_examples_may_cancel(batch):
    """Near an optimum the mean gradient is a small part of the examples', whose products must not drown it."""
    layer, inputs, rows = made(batch, "linear")
    common = tf.reduce_mean(inputs, 0, keepdims=True)
    inputs = common + 1e-4 * inputs  # examples nearly alike, of which every second pulls the other way
    signs = tf.constant([(-1.0) ** k for k in range(batch)])
    signs -= tf.reduce_mean(signs)
    rows = rows[:, :1] * signs[None, :, None]
    exact = np.einsum("bi,kbo->kio", np.float64(inputs), np.float64(rows)).reshape(K, -1)
    exact = np.concatenate([exact, np.float64(rows).sum(1)], 1)
    expected, found = exact @ exact.T, dense.gramian(layer, inputs, rows).numpy()
    examples = np.sqrt(np.sum(np.float64(rows[0]) ** 2) * np.sum(np.float64(inputs) ** 2))
    assert examples > 100 * np.sqrt(expected[0, 0])
    np.testing.assert_allclose(found, expected, rtol=5e-3)


@pytest.mark.parametrize("batch", [FEW_EXAMPLES, MANY_EXAMPLES])
def test_what_is_not_finite_stays_with_its_task(batch):
    layer, inputs, rows = made(batch, "linear")
    expected = dense.gramian(layer, inputs, rows).numpy()
    broken = rows.numpy()
    broken[2, 0, 0] = np.inf
    found = dense.gramian(layer, inputs, tf.constant(broken)).numpy()
    others = [k for k in range(K) if k != 2]
    np.testing.assert_allclose(found[np.ix_(others, others)], expected[np.ix_(others, others)], rtol=1e-6)
    assert not np.isfinite(found[2, 2])
    assert not np.isfinite(np.diag(dense.gramian(layer, tf.fill(inputs.shape, np.inf), rows))).any()


def compiled(last, tasks=MANY, scope="last_layer", weighting="upgrad", before=None, **arguments):
    """A model whose trunk ends in the given layers."""
    x = keras.Input((4,) if before is None else before)
    h = keras.layers.Dense(7, "relu", name="first")(x)
    for layer in last:
        h = layer(h)
    h = h if len(h.shape) == 2 else keras.layers.Flatten()(h)
    model = mtl.MultiTaskModel(x, {f"t{k}": keras.layers.Dense(1, name=f"t{k}")(h) for k in range(tasks)})
    losses = {f"t{k}": "mse" for k in range(tasks)}
    model.compile(keras.optimizers.SGD(0.05), loss=losses, weighting=weighting, scope=scope, **arguments)
    return model


def plain(**settings):
    return keras.layers.Dense(5, **({"activation": "tanh", "name": "last"} | settings))


def test_which_trunks_have_a_dense_end():
    end = compiled([plain()]).plan.dense_end
    assert (end.layer.name, [tuple(t.shape) for t in end.trunk.outputs]) == ("last", [(None, 5), (None, 7)])
    square, without_bias = keras.layers.Dense(7, name="twice"), plain(use_bias=False)
    assert compiled([without_bias]).plan.dense_end.layer is without_bias
    low_rank = plain()
    low_rank.build((None, 7))
    low_rank.enable_lora(2)
    for none in (
        compiled([plain()], tasks=MANY - 1),
        compiled([plain()], scope="features"),
        compiled([plain()], scope="parameters"),
        compiled([plain()], weighting="graddrop", scope="parameters"),
        compiled([plain()], micro_batches=2),
        compiled([plain(activation="softmax")]),
        compiled([plain(), keras.layers.Dropout(0.5)]),
        compiled([plain(), keras.layers.BatchNormalization()]),
        compiled([square, square]),
        compiled([low_rank]),
        compiled([plain(dtype="mixed_float16")]),
        compiled([plain()], before=(3, 4)),
    ):
        assert none.plan.dense_end is None


@pytest.mark.parametrize("weighting", ["upgrad", "cagrad", "mgda"])
def test_training_is_the_same(weighting):
    """With labels missing, a task absent, and more batches of one size than of the other."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(21, 4)).astype("float32")
    y = {f"t{k}": rng.normal(size=(21, 1)).astype("float32") for k in range(MANY + 1)}
    y["t1"][::3] = np.nan
    y["t2"][:8] = np.nan
    trained = []
    for with_end in (True, False):
        keras.utils.set_random_seed(0)
        model = compiled([plain()], tasks=MANY + 1, weighting=weighting)
        assert model.plan.dense_end is not None
        if not with_end:
            model.plan.dense_end = None
        model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
        trained.append([np.array(v) for v in model.trainable_variables])
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
