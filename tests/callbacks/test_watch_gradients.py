"""Gradients measured while training: the right ones, in the logs and on the board, and nothing else moves."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mtl_keras as mtl
from mtl_keras.training.gradient_watch import GradientTracker

KEYS = ["a_gradient_norm", "b_gradient_norm", "a-b_cosine", "conflict_rate", "gramian_condition"]


def tracked(*measurements):
    tracker = GradientTracker(["a", "b", "c"])
    for gramian, present in measurements:
        tracker.update_state(tf.constant(gramian, tf.float64), tf.constant(present))
    return {key: float(value) for key, value in tracker.result().items()}, tracker


FULL = [[4.0, -3.0, 0.0], [-3.0, 9.0, 3.0], [0.0, 3.0, 25.0]]


def test_measurements_by_hand():
    """Norms 2, 3, 5; cosines -3/6, 0, 3/15: one pair of three conflicts.

    Then c is absent, and a and b agree with cosine 6/6: the Gramian of these two is singular, its condition what
    float64 can tell. The mean norm of c is over one measurement, the mean cosine of a and b over two.
    """
    values = np.linalg.eigvalsh(FULL)
    first, _ = tracked((FULL, [True] * 3))
    expected = [2, 3, 5, -0.5, 0, 0.2, 1 / 3, values[2] / values[0]]
    np.testing.assert_allclose(list(first.values()), expected, rtol=1e-5)
    two, tracker = tracked((FULL, [True] * 3), ([[4.0, 6.0, 0.0], [6.0, 9.0, 0.0], [0.0] * 3], [True, True, False]))
    assert list(two) == [f"{n}_gradient_norm" for n in "abc"] + ["a-b_cosine", "a-c_cosine", "b-c_cosine", *KEYS[3:]]
    np.testing.assert_allclose(list(two.values())[:-1], [2, 3, 5, 0.25, 0, 0.2, 1 / 6], rtol=1e-5)
    assert two["gramian_condition"] > 1e7
    np.testing.assert_allclose(list(tracker.last().values())[:-1], [2, 3, 0, 1, 0, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(tracker.cosines(), [[1, 0.25, 0], [0.25, 1, 0.2], [0, 0.2, 1]], rtol=1e-5)


def test_zero_gradients_have_no_direction_and_infinite_ones_are_no_measurement():
    zero = [[0.0, 0.0, 0.0], [0.0, 9.0, 3.0], [0.0, 3.0, 25.0]]
    found, tracker = tracked((zero, [True] * 3), (np.full((3, 3), np.inf), [True] * 3), (zero, [False] * 3))
    small = np.linalg.eigvalsh([[9.0, 3.0], [3.0, 25.0]])
    np.testing.assert_allclose(list(found.values()), [0, 3, 5, 0, 0, 0.2, 0, small[1] / small[0]], rtol=1e-5)
    assert np.isnan(tracker.cosines()[0]).all()
    nothing, _ = tracked()
    assert set(nothing.values()) == {0.0}


def test_many_tasks_have_no_key_for_every_pair():
    names = [f"t{i}" for i in range(11)]
    assert GradientTracker(names).log_keys() == [f"{n}_gradient_norm" for n in names] + KEYS[3:]
    assert GradientTracker(["a"]).log_keys() == ["a_gradient_norm"]


def gradients_of(model, x, y, layers):
    """Every task's gradient of the mean loss by plain TensorFlow, flat, [2, P]."""
    variables = [v.value for name in layers for v in model.get_layer(name).trainable_variables]
    rows = []
    for name in "ab":
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.get(tiny.LOSSES[name])(y[name], tf.squeeze(model(x)[name])))
        rows.append(np.concatenate([np.ravel(g) for g in tape.gradient(loss, variables)]))
    return np.array(rows)


def expected_of(rows):
    norms = np.linalg.norm(rows, axis=1)
    cosine = rows[0] @ rows[1] / norms.prod()
    values = np.linalg.eigvalsh((rows @ rows.T).astype("float64"))
    return np.array([*norms, cosine, float(cosine < 0), np.log10(values[1] / values[0])])


def logged(values):
    return np.array([*values[:4], 10 ** values[4]])


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Six steps at learning rate 0 in two epochs, of which the first, third and fifth are measured."""
    folder = tmp_path_factory.mktemp("board")
    x, y = tiny.arrays(48)
    model = tiny.model(regularizer=keras.regularizers.L2(0.1))
    model.compile(keras.optimizers.SGD(0.0), loss=tiny.LOSSES, loss_weights={"b": 3.0})
    callbacks = [mtl.callbacks.TaskBoard(folder, gradients=2), keras.callbacks.CSVLogger(folder / "log.csv")]
    history = model.fit(tiny.dataset(x, y), epochs=2, callbacks=callbacks, validation_data=(x, y), verbose=0).history
    rows = []
    for step in (0, 2, 4):
        part = slice(16 * (step % 3), 16 * (step % 3) + 16)
        batch = gradients_of(model, x[part], {task: values[part] for task, values in y.items()}, ["conv", "dense"])
        rows.append(expected_of(batch * [[1.0], [3.0]]))
    return folder, history, rows


def test_logs_are_the_means_of_what_was_measured(watched):
    """For equal weights, which read no gradients; loss weights count, regularizers and evaluation do not."""
    folder, history, rows = watched
    expected = [logged((rows[0] + rows[1]) / 2), logged(rows[2])]
    np.testing.assert_allclose(np.transpose([history[key] for key in KEYS]), expected, rtol=2e-4)
    assert not [key for key in history if key.startswith("val_") and key.removeprefix("val_") in KEYS]
    with open(folder / "log.csv") as file:
        table = list(csv.DictReader(file))
    np.testing.assert_allclose([[float(row[key]) for key in KEYS] for row in table], expected, rtol=2e-4)


def test_the_board_has_every_measurement_the_means_and_the_picture(watched):
    folder, history, rows = watched
    events = EventAccumulator(str(folder / "train"))
    events.Reload()
    tags = ["gradient_norm/a", "gradient_norm/b", "cosine/a-b", "conflict_rate", "gramian_condition"]
    for i, (tag, key) in enumerate(zip(tags, KEYS, strict=True)):
        for prefix, steps, values in (
            ("", [0, 1], history[key]),
            ("batch/", [1, 3, 5], [logged(row)[i] for row in rows]),
        ):
            points = events.Tensors(prefix + tag)
            assert [point.step for point in points] == steps
            found = [float(np.frombuffer(p.tensor_proto.tensor_content, "f4")[0]) for p in points]
            np.testing.assert_allclose(found, values, rtol=2e-4, err_msg=prefix + tag)
    pictures = events.Tensors("cosine")
    assert [picture.step for picture in pictures] == [0, 1]
    # the first strings are width and height
    pixels = tf.io.decode_png(pictures[0].tensor_proto.string_val[2]).numpy()
    assert pixels.ndim == 3
    blue = pixels[..., 2].astype(int) - pixels[..., 0]
    assert blue.max() > 50  # the diagonal: every task agrees with itself


@pytest.mark.parametrize(
    ("weighting", "scope", "more"),
    [
        ("uncertainty", "features", {"steps_per_execution": 2}),
        ("modo", "last_layer", {}),
        ("graddrop", "parameters", {"run_eagerly": True}),
    ],
)
def test_measuring_moves_nothing(weighting, scope, more):
    """Dropout masks, moving statistics, state of the method and logs are those of training without it."""
    made = []
    for callbacks in ([], [mtl.callbacks.WatchGradients(gradients=2, scope=scope)]):
        model = tiny.model(batch_norm=True, dropout=0.5, regularizer=keras.regularizers.L2(0.1))
        model.compile(tiny.forgiving_adam(), loss=tiny.LOSSES, weighting=weighting, **more)
        made.append((model, model.fit(tiny.dataset(*tiny.arrays(64)), callbacks=callbacks, verbose=0).history))
    (plain, expected), (model, logs) = made
    assert tiny.difference(plain, model) < 1e-6
    assert set(logs) == {*expected, *KEYS}
    for key, values in expected.items():
        np.testing.assert_allclose(logs[key], values, rtol=1e-5, err_msg=key)
    assert logs["a_gradient_norm"][0] > 0
    assert set(model.fit(tiny.dataset(*tiny.arrays(16)), verbose=0).history) == set(expected)  # it ends with fit


def test_two_replicas_measure_what_one_device_does_and_callbacks_can_act_on_it():
    """Labels are missing unevenly; training stops when the conflict rate rises no more, which it cannot twice."""
    x, y = tiny.arrays(32)
    y["a"][:7], y["b"][16:24] = -1, np.nan
    logs = []
    for strategy in (tf.distribute.get_strategy(), tiny.replicas(2)):
        with strategy.scope():
            model = tiny.model()
        model.compile(keras.optimizers.SGD(0.0), loss=tiny.LOSSES, weighting="dwa")
        stop = keras.callbacks.EarlyStopping(monitor="conflict_rate", mode="max", patience=1)
        watch = mtl.callbacks.WatchGradients(gradients=1)
        logs.append(model.fit(tiny.dataset(x, y), epochs=5, callbacks=[watch, stop], verbose=0).history)
    for key in KEYS:
        assert len(logs[0][key]) == 2
        np.testing.assert_allclose(logs[1][key], logs[0][key], rtol=1e-4, err_msg=key)


def test_what_cannot_be_measured():
    x, y = tiny.arrays(8)
    watch = mtl.callbacks.WatchGradients()
    for steps in (0, 1.5, True):
        tiny.refused(
            lambda steps=steps: mtl.callbacks.WatchGradients(gradients=steps),
            "Expected a whole number of steps of at least 1 from one measurement of gradients to the next. "
            f"Received: gradients={steps!r}. Do pass gradients=100.",
        )
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES)
    tiny.refused(
        lambda: model.fit(x, y, callbacks=[mtl.callbacks.WatchGradients(scope="heads")], verbose=0),
        "Expected a scope among ['parameters', 'features', 'last_layer']. Received: scope='heads'. Do choose one.",
    )
    model.compile("sgd", loss=tiny.LOSSES, metrics={"a": [keras.metrics.Accuracy(name="gradient_norm")]})
    tiny.refused(
        lambda: model.fit(x, y, callbacks=[watch], verbose=0),
        "Expected log keys that measured gradients can have. Received: key='a_gradient_norm'. "
        "Do rename the task's metric.",
    )
    model.get_layer("conv").trainable = model.get_layer("dense").trainable = False
    model.compile("sgd", loss=tiny.LOSSES)
    tiny.refused(
        lambda: model.fit(x, y, callbacks=[watch], verbose=0),
        "Expected trainable variables that tasks share, for gradients to be measured on. "
        "Received: trainable_shared_variables=0. Do unfreeze the trunk, or choose a weighting that reads losses only.",
    )


def test_a_step_of_an_earlier_fit_is_not_used_for_labels_of_another_form():
    """It would be traced once more, with labels of any shape at all."""
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES)
    x, y = tiny.arrays(8)
    norms = []
    for labels in (y, {name: given[:, None] for name, given in y.items()}):
        model.set_weights(tiny.model().get_weights())
        norms += model.fit(x, labels, callbacks=[mtl.callbacks.WatchGradients(1)], verbose=0).history["a_gradient_norm"]
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)
