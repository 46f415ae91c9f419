"""AutoLambda inside `fit`: a step worked by hand, other examples beside the training data, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl
from mtl_keras.weightings import AutoLambda

RATE = 0.5


def line():
    """Both outputs are w x with one shared w, at first 0: L = (w x - y)^2."""
    x = keras.Input((1,), name="x")
    shared = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="shared")(x)
    outputs = {
        name: keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", trainable=False, name=name)(shared)
        for name in "ab"
    }
    return mtl.MultiTaskModel(x, outputs)


def labels(a, b):
    return np.ones((1, 1), "float32"), {"a": np.array([a], "float32"), "b": np.array([b], "float32")}


class Remembers(AutoLambda):
    """Keeps what it is told of the trial step."""

    def create_state(self, num_tasks):
        super().create_state(num_tasks)
        self.gains = self.add_state("gains", (num_tasks,))

    def look_ahead(self, gains_of, present):
        def remembering(*args):
            gains = gains_of(*args)
            self.gains.assign(gains)
            return gains

        super().look_ahead(remembering, present)


@pytest.mark.parametrize(
    ("primary", "slope"),
    [(["a"], 2 * (-0.1 - 1)), (["b"], 2 * (-0.1 - 3)), (None, 2 * (-0.1 - 1) + 2 * (-0.1 - 3))],
    ids=["a", "b", "all"],
)
def test_one_step_by_hand(primary, slope):
    """Trained on a = 1, b = -2, gradients -2 and 4; weights 0.1 each make a trial step to w = -0.5 (-0.2 + 0.4) = -0.1.

    There the loss on a = 1 (and b = 3) has the slope that the parameters give; a unit of weight for a task lowers it by
    0.5 times slope times gradient. Adam's first step has the length of its learning rate: weights 0.15 and 0.05, with
    which w becomes -0.5 (0.15 * -2 + 0.05 * 4) = 0.05.
    """
    model = line()
    method = Remembers(learning_rate=0.05, primary=primary)
    model.compile(keras.optimizers.SGD(RATE), loss={"a": "mse", "b": "mse"}, weighting=method)
    logs = model.fit(*labels(1, -2), weighting_data=labels(1, 3), verbose=0).history
    np.testing.assert_allclose(method.gains.numpy(), [RATE * slope * -2, RATE * slope * 4], rtol=1e-4)
    np.testing.assert_allclose(method.learned_weights.numpy(), [0.15, 0.05], rtol=1e-5)
    np.testing.assert_allclose(model.get_layer("shared").kernel.numpy(), [[0.05]], rtol=1e-4)
    np.testing.assert_allclose([logs["a_weight"], logs["b_weight"]], [[0.15], [0.05]], rtol=1e-5)


def test_a_step_size_of_its_own_and_tasks_that_cannot_be_measured():
    """alpha = 0.25 moves the trial step to -0.05. Where gains are not finite, or a label is absent, weights stay."""
    method = Remembers(learning_rate=0.05, step_size=0.25)
    model = line()
    model.compile(keras.optimizers.SGD(RATE), loss={"a": "mse", "b": "mse"}, weighting=method)
    model.fit(*labels(1, -2), weighting_data=labels(1, np.nan), verbose=0)
    np.testing.assert_allclose(method.gains.numpy(), 0.25 * 2 * (-0.05 - 1) * np.array([-2, 4]), rtol=1e-4)
    before = method.learned_weights.numpy()
    model.fit(*labels(np.nan, -2), weighting_data=labels(1, 3), verbose=0)
    after = method.learned_weights.numpy()
    assert after[0] == before[0]
    assert after[1] != before[1]
    method.look_ahead(lambda *_: tf.constant([np.nan, np.inf]), tf.constant([True, True]))
    np.testing.assert_array_equal(method.learned_weights.numpy(), after)


def test_a_weight_below_0_counts_as_0_and_comes_back():
    """Adam's first step is as long as its learning rate: 0.1 - 0.5 is below 0, and rising gains bring it back."""
    method = AutoLambda(learning_rate=0.5).bind(["a", "b"])
    both, applied = tf.constant([True, True]), []
    for gain in (-1.0, 1.0, 1.0, 1.0, 1.0):
        method.look_ahead(lambda *_, gain=gain: tf.constant([gain, 1.0]), both)
        applied.append(float(method.call(tf.ones(2), both)[0]))
    assert applied[0] == 0.0
    assert float(method.learned_weights.numpy()[1]) == pytest.approx(0.1 + 5 * 0.5, rel=1e-4)
    assert applied[-1] == float(method.learned_weights.numpy()[0]) > 0.0


def data():
    return tiny.dataset(*tiny.arrays(48))


def test_looking_ahead_moves_nothing_else():
    """Weights that stay 1 train as equal weights: same dropout masks, moving statistics, logs, under loss scaling."""
    keras.config.set_dtype_policy("mixed_float16")
    made = []
    for weighting in ("equal", AutoLambda(learning_rate=0.0, initial_weight=1.0)):
        model = tiny.model(batch_norm=True, dropout=0.5, regularizer=keras.regularizers.L2(0.01))
        model.compile(keras.optimizers.SGD(0.01, 0.9), loss=tiny.LOSSES, weighting=weighting, steps_per_execution=2)
        more = {} if weighting == "equal" else {"weighting_data": tiny.arrays(20, seed=1)}
        made.append((model, model.fit(data(), epochs=2, verbose=0, **more).history))
    (equal, expected), (auto, logs) = made
    assert tiny.difference(equal, auto) < 1e-6
    for key in expected:
        np.testing.assert_allclose(logs[key], expected[key], rtol=1e-5, err_msg=key)
    assert (auto.weighting.adam.second_moment.numpy() > 0).all()  # it did measure


def test_state_comes_back_and_any_kind_of_data_serves(tmp_path):
    """A loaded model goes on with its weights and their moments, bit for bit; wrapped, the method inside is asked."""
    x, y = tiny.arrays(48)
    model = tiny.model()
    method = AutoLambda(learning_rate=0.01, primary=["b"])
    model.compile(tiny.forgiving_adam(), loss=tiny.LOSSES, weighting=mtl.weightings.Smoothed(method))
    other = tiny.dataset(*tiny.arrays(20, seed=1))
    weights = {"a": np.ones(48)}
    model.fit(x, y, sample_weight=weights, shuffle=False, batch_size=16, weighting_data=other, verbose=0)
    assert (method.adam.steps.numpy() == 3).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.weighting.inner.primary == ["b"]
    logs = [m.fit(data(), weighting_data=other, verbose=0).history for m in (model, loaded)]
    assert logs[0] == logs[1]
    assert tiny.difference(model, loaded) == 0.0
    np.testing.assert_array_equal(loaded.weighting.inner.adam.steps.numpy(), [6, 6])


@pytest.mark.parametrize(("weighting", "state"), [("auto_lambda", "learned_weights"), ("gradnorm", "task_weights")])
def test_evaluation_does_not_follow_weights_that_are_learned(weighting, state):
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES, weighting=weighting)
    getattr(model.weighting, state).assign([3.0, 5.0])
    logs = model.evaluate(data(), return_dict=True, verbose=0)
    assert logs["loss"] == pytest.approx(logs["a_loss"] + logs["b_loss"], rel=1e-6)


NOT_GIVEN = (
    "Expected weighting_data, examples on which weighting 'auto_lambda' measures its weights. "
    "Received: weighting_data=None. Do pass fit(..., weighting_data=(x, y)) or a batched tf.data.Dataset, best of "
    "examples not trained on."
)


def test_what_is_refused_before_training():
    x, y = tiny.arrays(16)
    equal, auto = tiny.model(), tiny.model()
    equal.compile("sgd", loss=tiny.LOSSES)
    auto.compile("sgd", loss=tiny.LOSSES, weighting="auto_lambda")
    tiny.refused(lambda: auto.fit(x, y, validation_data=(x, y), verbose=0), NOT_GIVEN)
    tiny.refused(lambda: auto.train_on_batch(x, y), NOT_GIVEN)
    tiny.refused(
        lambda: equal.fit(x, y, weighting_data=(x, y), verbose=0),
        "Expected no weighting_data with weighting 'equal', which measures nothing on them. "
        "Received: weighting_data='tuple'. Do leave it out, or choose weighting='auto_lambda'; validation_data is what "
        "fit evaluates on.",
    )
    tiny.refused(
        lambda: auto.fit(x, y, weighting_data=x, verbose=0),
        "Expected weighting_data as (x, y), (x, y, sample_weight) or a batched tf.data.Dataset of these. "
        "Received: weighting_data='ndarray'. Do pass one of them.",
    )
    tiny.refused(
        lambda: auto.fit(x, y, weighting_data=(x, y), validation_split=0.5, verbose=0),
        "Expected validation examples given apart from the training data, beside weighting_data. "
        "Received: validation_split=0.5. Do split the arrays and pass validation_data.",
    )
    tiny.refused(
        lambda: auto.fit(iter([(x, y)]), weighting_data=(x, y), verbose=0),
        "Expected training data as arrays or as a tf.data.Dataset, beside weighting_data. "
        "Received: x='list_iterator'. Do pass a dataset, e.g. of tf.data.Dataset.from_generator.",
    )
    with pytest.raises(ValueError, match=r"Expected labels of every trained task \['a', 'b'\]. Received: keys=\['a'\]"):
        auto.fit(x, y, weighting_data=(x, {"a": y["a"]}), verbose=0)
    with pytest.raises(ValueError, match=r"Expected finite inputs"):
        auto.fit(x, y, weighting_data=(x * np.nan, y), verbose=0)


def test_primary_tasks_that_do_not_exist_and_compositions():
    tiny.refused(
        lambda: AutoLambda(primary=["c"]).bind(["a", "b"]),
        "Expected primary tasks among ['a', 'b']. Received: primary='c'. Do correct the name.",
    )
    tiny.refused(
        lambda: AutoLambda(primary="a"),
        "Expected the primary tasks as a list of names. Received: primary='a'. Do pass primary=['age'].",
    )
    tiny.refused(
        lambda: mtl.weightings.get(["auto_lambda", "pcgrad"]),
        "Expected a loss weighting without a second forward pass and without validation batches. "
        "Received: parts=['auto_lambda', 'pcgrad']. Do use 'auto_lambda' alone.",
    )


def test_batches_that_two_devices_cannot_share():
    with tiny.replicas(2).scope():
        model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES, weighting="auto_lambda")
    tiny.refused(
        lambda: model.fit(data(), weighting_data=tiny.dataset(*tiny.arrays(20), batch_size=12), verbose=0),
        "Expected batches of weighting_data at least as large as those of the training data. Received: size=12, "
        "training=16. Do batch both alike, with .repeat() before .batch() for the weighting data.",
    )
