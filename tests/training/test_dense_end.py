"""The Gramian of a dense layer before the cut, without its gradients, is that of its gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mtl_keras as mtl
from mtl_keras.gradients import dense
from mtl_keras.training import dense_end

K, SIZE_IN, SIZE_OUT = 5, 64, 12
FEW_EXAMPLES, MANY_EXAMPLES = 3, 200


def made(batch, activation="relu", use_bias=True, seed=0):
    """A layer, what goes into it, and gradients at its outputs, task by task."""
    keras.utils.set_random_seed(seed)
    layer = keras.layers.Dense(SIZE_OUT, activation, use_bias=use_bias, bias_initializer="random_normal")
    layer.build((None, SIZE_IN))
    rng = np.random.default_rng(seed)
    inputs = tf.constant(rng.normal(size=(batch, SIZE_IN)), tf.float32)
    return layer, inputs, tf.constant(rng.normal(size=(K, batch, SIZE_OUT)), tf.float32)


def gramian(layer, inputs, rows):
    return dense.gramian(layer, inputs, layer(inputs), tf.transpose(rows, [1, 0, 2]))


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
@pytest.mark.parametrize("activation", [function.__name__ for function in dense.SLOPES])
def test_gramian_is_that_of_the_gradients(activation, use_bias, batch, monkeypatch):
    layer, inputs, rows = made(batch, activation, use_bias)
    if batch == MANY_EXAMPLES:  # run eagerly, only one of the two ways is taken
        monkeypatch.setattr(dense, "_factor", None)
    assert dense.is_worth_it(batch, SIZE_IN, SIZE_OUT, K) == (batch == FEW_EXAMPLES)
    found, expected = gramian(layer, inputs, rows).numpy(), of_gradients(layer, inputs, rows)
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
    expected, found = exact @ exact.T, gramian(layer, inputs, rows).numpy()
    examples = np.sqrt(np.sum(np.float64(rows[0]) ** 2) * np.sum(np.float64(inputs) ** 2))
    assert examples > 100 * np.sqrt(expected[0, 0])
    np.testing.assert_allclose(found, expected, rtol=5e-3)


@pytest.mark.parametrize("batch", [FEW_EXAMPLES, MANY_EXAMPLES])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_examples_of_other_sizes_do_not_drown(scale, batch):
    """A task with labels of the first example alone, whose inputs are much smaller or larger than all others."""
    layer, inputs, rows = made(batch, "linear", use_bias=False)
    sizes = np.ones(batch, "float32")
    sizes[0] = scale
    labelled = np.ones([K, batch, 1], "float32")
    labelled[0, 1:] = 0.0
    inputs, rows = inputs * sizes[:, None], rows * labelled
    found, expected = gramian(layer, inputs, rows).numpy(), of_gradients(layer, inputs, rows)
    norms = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(found / np.outer(norms, norms), expected / np.outer(norms, norms), atol=2e-6)


@pytest.mark.parametrize("batch", [FEW_EXAMPLES, MANY_EXAMPLES])
def test_tasks_without_a_gradient_have_none(batch):
    """One whose labelled example has no inputs, and one without labels."""
    layer, inputs, rows = made(batch, "linear", use_bias=False)
    inputs *= tf.constant([0.0] + [1.0] * (batch - 1))[:, None]
    labelled = np.ones([K, batch, 1], "float32")
    labelled[0, 1:] = labelled[1] = 0.0
    found = gramian(layer, inputs, rows * labelled).numpy()
    assert not found[:2].any()
    assert not found[:, :2].any()
    assert found[2:, 2:].all()


@pytest.mark.parametrize("batch", [FEW_EXAMPLES, MANY_EXAMPLES])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_what_is_not_finite_stays_with_its_task(activation, batch):
    layer, inputs, rows = made(batch, activation)
    expected = gramian(layer, inputs, rows).numpy()
    hidden = np.argwhere(layer(inputs).numpy() <= 0.0)[0]  # where relu has no gradient
    broken = rows.numpy()
    broken[2, *hidden] = np.inf
    found = gramian(layer, inputs, tf.constant(broken)).numpy()
    others = [k for k in range(K) if k != 2]
    np.testing.assert_allclose(found[np.ix_(others, others)], expected[np.ix_(others, others)], rtol=1e-6)
    assert not np.isfinite(found[2, 2])
    assert not np.isfinite(np.diag(gramian(layer, tf.fill(inputs.shape, np.inf), rows))).any()


def test_long_gradients_keep_their_digits():
    """Of numbers of one sign, of which a float32 sum of all loses many."""
    layer = keras.layers.Dense(2**11, use_bias=False)
    layer.build((None, 2**11))
    rng = np.random.default_rng(0)
    inputs, rows = rng.random((2**9, 2**11), np.float32), rng.random((1, 2**9, 2**11), np.float32)
    expected = np.sum((np.float64(inputs).T @ np.float64(rows[0])) ** 2)
    np.testing.assert_allclose(gramian(layer, tf.constant(inputs), tf.constant(rows)), [[expected]], rtol=3e-7)


def test_gramian_compiles_with_xla():
    for batch in (FEW_EXAMPLES, MANY_EXAMPLES):
        layer, inputs, rows = made(batch)
        compiled_one = tf.function(lambda *args, layer=layer: gramian(layer, *args), jit_compile=True)
        found, expected = compiled_one(inputs, rows), gramian(layer, inputs, rows)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.fixture
def worth_it(monkeypatch):
    """Small layers have a dense end as well."""
    monkeypatch.setattr(dense_end, "USUAL_BATCH", 1)


TASKS = 5


def compiled(trunk, tasks=TASKS, scope="last_layer", weighting="upgrad", x=None, in_head=None, **arguments):
    """A model whose trunk is of the given layers."""
    h = x = keras.Input((32,)) if x is None else x
    for layer in trunk:
        h = layer(h)
    outputs = {}
    for name in names(tasks):
        outputs[name] = keras.layers.Dense(1, name=name)(h if in_head is None else in_head(h))
    model = mtl.MultiTaskModel(x, outputs)
    losses = dict.fromkeys(outputs, "mse")
    model.compile(keras.optimizers.SGD(0.01), loss=losses, weighting=weighting, scope=scope, **arguments)
    return model


def names(tasks):
    return [f"t{k}" for k in range(tasks)]


def first(**settings):
    return keras.layers.Dense(32, "relu", name="first", **settings)


def last(**settings):
    return keras.layers.Dense(16, **({"activation": "tanh", "name": "last"} | settings))


class Around(keras.layers.Layer):
    """Holds another layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return self.layer(x)


class Scaled:
    """An activation that is equal to others and has no hash."""

    def __call__(self, x):
        return 2.0 * keras.ops.tanh(x)

    def __eq__(self, other):
        return isinstance(other, Scaled)

    __hash__ = None


class Own(keras.layers.Dense):
    """A layer that may do anything."""


@pytest.mark.usefixtures("worth_it")
def test_which_trunks_have_a_dense_end(monkeypatch):
    end = compiled([first(), last()]).plan.dense_end
    assert (end.layer.name, [tuple(t.shape) for t in end.trunk.outputs]) == ("last", [(None, 16), (None, 32)])
    assert compiled([last()]).plan.dense_end is not None
    square, without_bias = keras.layers.Dense(32, name="twice"), last(use_bias=False)
    assert compiled([first(), without_bias]).plan.dense_end.layer is without_bias
    low_rank, only_bias = last(), last()
    for layer in (square, low_rank, only_bias):
        layer.build((None, 32))
    low_rank.enable_lora(2)
    only_bias.kernel.trainable = False
    for none in (
        compiled([last()], scope="features"),
        compiled([last()], scope="parameters"),
        compiled([last()], weighting="graddrop", scope="parameters"),
        compiled([last()], weighting="modo"),
        compiled([last()], micro_batches=2),
        compiled([last(activation="softmax")]),
        compiled([last(activation=Scaled())]),
        compiled([last(), keras.layers.Dropout(0.5)]),
        compiled([last(), keras.layers.BatchNormalization()]),
        compiled([Own(16)]),
        compiled([square, square]),
        compiled([keras.Sequential([square, first()]), square]),
        compiled([Around(square), square]),
        compiled([low_rank]),
        compiled([only_bias]),
        compiled([last(dtype="mixed_float16")]),
        compiled([first(dtype="mixed_float16"), last()]),
        compiled([last()], x=keras.Input((32,), dtype="int32")),
        compiled([last()], x=keras.Input((32,), sparse=True)),
        compiled([last()], x=keras.Input((3, 32)), in_head=keras.layers.Flatten()),
    ):
        assert none.plan.dense_end is None
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind] if kind == "GPU" else [])
    assert compiled([last()]).plan.dense_end is None


def test_which_sizes_are_worth_it():
    """A rule for usual batches: of the benchmarks' graphs, that of forty tasks and not that of two."""
    assert dense.is_worth_it(dense_end.USUAL_BATCH, 128, 128, 40)
    assert not dense.is_worth_it(dense_end.USUAL_BATCH, 720, 50, 2)
    assert compiled([last()]).plan.dense_end is None


@pytest.mark.usefixtures("worth_it")
def test_another_activation_since_compile_is_seen():
    model = compiled([last()])
    assert model.plan.dense_end.is_known
    model.get_layer("last").activation = keras.activations.softmax
    assert not model.plan.dense_end.is_known


def data(tasks):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(21, 32)).astype("float32")
    return x, {name: rng.normal(size=(21, 1)).astype("float32") for name in names(tasks)}


def trained(x, y, with_end, change=None, **settings):
    """History and weights."""
    keras.utils.set_random_seed(0)
    model = compiled([first(), last(activation="relu")], tasks=len(y), **settings)
    assert model.plan.dense_end is not None
    if not with_end:
        model.plan.dense_end = None
    if change is not None:
        change(model)
    history = model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    return history, {v.path: np.array(v) for v in model.trainable_variables}


def assert_the_same(x, y, **settings):
    """Training with and without the end; returns what it gave with it."""
    found, expected = trained(x, y, True, **settings), trained(x, y, False, **settings)
    for values, others in zip(found, expected, strict=True):
        assert len(values) == len(others)
        for one, other in zip(values.values(), others.values(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    return found


@pytest.mark.usefixtures("worth_it")
@pytest.mark.parametrize("weighting", ["upgrad", "cagrad", "mgda"])
def test_training_is_the_same(weighting):
    """With labels missing, a task absent, and batches of two sizes."""
    x, y = data(TASKS)
    y["t1"][::3] = np.nan
    y["t2"][:4] = np.nan
    assert_the_same(x, y, weighting=weighting)


@pytest.mark.usefixtures("worth_it")
@pytest.mark.filterwarnings("ignore:Task 't0' sat out")
def test_task_with_infinite_gradient_sits_out_alone():
    x, y = data(TASKS)
    y["t0"] *= 100.0

    def break_first_head(model):
        """It reads a dead unit by a huge weight: no part of its loss, and an infinite gradient that ends there."""
        kernel, bias = model.get_layer("last").get_weights()
        bias[0] = -100.0
        model.get_layer("last").set_weights([kernel, bias])
        of_head, bias_of_head = model.get_layer("t0").get_weights()
        of_head[0] = 1e38
        model.get_layer("t0").set_weights([of_head, bias_of_head])

    history, _ = assert_the_same(x, y, change=break_first_head)
    assert history["t0_sat_out"] == [6.0, 6.0, 6.0]
    assert history["t1_loss"][-1] < history["t1_loss"][0]


@pytest.mark.usefixtures("worth_it")
def test_heads_behind_stopped_gradients_train_on():
    x, y = data(TASKS)
    history, _ = assert_the_same(x, y, in_head=keras.ops.stop_gradient)
    assert history["t1_loss"][-1] < history["t1_loss"][0]
