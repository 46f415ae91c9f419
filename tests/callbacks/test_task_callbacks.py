"""Tasks that stop one by one, weights that follow a plan, rates that fall on a task's plateau."""

import keras
import numpy as np
import pytest
import tiny
from keras.optimizers import SGD, Adam

import mtl_keras as mtl
from mtl_keras.callbacks import ReduceOnPlateau, Schedule, TaskEarlyStopping

HOPELESS = 100.0  # a change that no metric can make


class Recorder(keras.callbacks.Callback):
    """Keeps the weights at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append({v.path: v.numpy() for v in self.model.weights})


def compiled(optimizer=None, weighting="equal", **kwargs):
    model = tiny.model(**kwargs)
    metrics = {"a": ["accuracy"], "b": ["mae"]}
    model.compile(optimizer or SGD(0.05, momentum=0.9), loss=tiny.LOSSES, metrics=metrics, weighting=weighting)
    return model


def fit(model, callbacks, epochs=1, y=None):
    x, labels = tiny.arrays(16)
    data = tiny.dataset(x, y or labels)
    return model.fit(data, validation_data=data, epochs=epochs, callbacks=callbacks, verbose=0)


@pytest.mark.parametrize("weighting", ["uncertainty", "test_unit_weights"])
def test_tasks_stop_one_by_one(capfd, weighting):
    model = compiled(weighting=weighting)
    fit(model, [])  # so that there is a step already, which knows nothing of tasks that stop
    recorder = Recorder()
    stopping = TaskEarlyStopping(patience={"a": 1, "b": 3}, min_delta=HOPELESS, verbose=1)
    history = fit(model, [recorder, stopping], epochs=9)
    assert history.epoch == [0, 1, 2, 3]
    assert stopping.stopped == {"a": 1, "b": 3}
    assert stopping.best == {"a": history.history["val_a_accuracy"][0], "b": history.history["val_b_mae"][0]}
    weights = np.array(history.history["a_weight"])
    assert (weights[:2] > 0).all()
    assert (weights[2:] == 0).all()
    assert min(history.history["b_weight"]) > 0
    first, second, third, last = recorder.weights
    trunk = {"conv", "dense"} | ({"uncertainty"} if weighting == "uncertainty" else set())
    assert tiny.moved(first, second) == {*trunk, "a", "b"}
    # the head that has stopped is that of its best epoch, while the others go on
    assert tiny.moved(second, third) == {*trunk, "a", "b"}
    assert tiny.moved(first, third) == {*trunk, "b"}
    assert tiny.moved(third, last) == {*trunk, "b"}
    final = {v.path: v.numpy() for v in model.weights}
    assert tiny.moved(first, final) == trunk
    best = history.history["val_a_accuracy"][0]
    assert f"Epoch 2: task 'a' has stopped, its best value is {best:.4g}" in capfd.readouterr().err
    assert min(fit(model, []).history["a_weight"]) > 0  # the next training is another one


def test_heads_return_at_the_end_and_frozen_tasks_are_not_watched():
    model = compiled(four=True)
    model.compile("sgd", loss=tiny.FOUR_LOSSES)
    model.freeze("c")
    recorder, stopping = Recorder(), TaskEarlyStopping(patience=3, min_delta=HOPELESS)
    x, y = tiny.arrays(16, four=True)
    data = tiny.dataset(x, y)
    model.fit(data, validation_data=data, epochs=2, callbacks=[stopping, recorder], verbose=0)
    assert stopping.stopped == {}
    assert set(stopping.best) == {"a", "b", "d"}
    assert tiny.moved(recorder.weights[0], {v.path: v.numpy() for v in model.weights}) == {"conv", "dense"}
    kept = TaskEarlyStopping(["a"], restore_best_weights=False, min_delta=HOPELESS)
    model.fit(data, validation_data=data, epochs=1, callbacks=[kept], verbose=0)
    assert kept.best_weights == {}


def test_an_epoch_without_labels_says_nothing():
    x, y = tiny.arrays(16)
    none = {**y, "b": np.full(16, np.nan, "float32")}
    model = compiled()
    stopping, overall = TaskEarlyStopping(patience=1), mtl.callbacks.EarlyStopping("overall", patience=1)
    on_b = mtl.callbacks.EarlyStopping("b", patience=1)
    for callback in (stopping, overall, on_b):
        callback.set_model(model)
        callback.on_train_begin()
    for labels, a, b in ((y, 0.5, 2.0), (none, 0.6, 0.0), (y, 0.7, 1.0)):
        model.evaluate(x, labels, verbose=0)
        logs = {"val_a_accuracy": a, "val_b_mae": b}
        stopping.on_epoch_end(0, logs)
        overall.on_epoch_end(1, logs)
        on_b.on_epoch_end(1, logs)
        assert stopping.best["a"] == a
        assert not model.stop_training
        assert np.isnan(logs["val_overall"]) == (labels is none)
    assert stopping.best["b"] == 1.0
    assert stopping.waited == {"a": 0, "b": 0}
    assert overall.best == pytest.approx((0.7 + 1 - 1.0 / 2.0) / 2)
    assert on_b.best == 1.0
    # NaN is no improvement, and does not become the best value
    stopping.on_epoch_end(1, {"val_a_accuracy": np.nan, "val_b_mae": 0.5})
    assert stopping.stopped == {"a": 1}
    assert stopping.best == {"a": 0.7, "b": 0.5}


@pytest.mark.parametrize("weighting", ["uncertainty", "test_unit_weights"])
def test_weights_follow_the_schedule_whatever_the_weighting(weighting):
    recorder = Recorder()
    logs = fit(compiled(weighting=weighting), [Schedule({"b": {0: 0.0, 1: 0.5}}), recorder], epochs=2).history
    assert logs["b_weight"][0] == 0.0
    assert logs["b_weight"][1] > 0.0
    start = {v.path: v.numpy() for v in compiled(weighting=weighting).weights}
    assert "b" not in tiny.moved(start, recorder.weights[0])
    assert "b" in tiny.moved(recorder.weights[0], recorder.weights[1])
    scheduled, fixed = compiled(weighting=weighting), compiled(weighting=weighting)
    fixed.compile(SGD(0.05, momentum=0.9), loss=tiny.LOSSES, loss_weights={"b": 0.5}, weighting=weighting)
    for model, callbacks in ((scheduled, [Schedule({"b": 0.5})]), (fixed, [])):
        fit(model, callbacks)
    assert tiny.difference(scheduled, fixed) == 0.0


def test_plans_of_schedules():
    steps = {2: 0.5, 5: 0.0}
    assert [Schedule({"a": steps}).at(e)["a"] for e in (0, 2, 4, 5, 9)] == [1.0, 0.5, 0.5, 0.0, 0.0]
    assert [Schedule({"a": steps}, smooth=True).at(e)["a"] for e in (0, 2, 3, 5)] == pytest.approx([0.5, 0.5, 1 / 3, 0])
    fading = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    assert Schedule({"a": fading, "b": 2}).at(3) == {"a": 0.125, "b": 2.0}
    assert Schedule({"a": {np.int64(1): np.float32(0.5)}}).at(1) == {"a": 0.5}


def test_rates_fall_on_the_plateau_of_their_task():
    model = compiled(mtl.optimizers.per_task(Adam(0.5), {"b": SGD(0.25)}))
    model.evaluate(*tiny.arrays(8), verbose=0)
    callbacks = [
        ReduceOnPlateau("b", factor=0.5, patience=2, cooldown=1, lowest=0.1),
        ReduceOnPlateau("a", part="shared", patience=3),
    ]
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    seen = []
    for epoch, (a, b) in enumerate(
        [(0.1, 3.0), (0.2, 3.5), (0.3, 3.0), (0.3, 3.0), (0.3, 3.0), (0.3, 2.0), (0.4, 2.0)]
    ):
        for callback in callbacks:
            callback.on_epoch_end(epoch, {"val_a_accuracy": a, "val_b_mae": b})
        seen.append([round(float(o.learning_rate), 4) for o in model.optimizer.parts.values()])
    # b: waits in epochs 1 and 2, cools down in 3, waits in 4, is better in 5; a: waits in 3, 4 and 5
    assert seen == [[0.5, 0.25], [0.5, 0.25], [0.5, 0.125], [0.5, 0.125], [0.5, 0.125], [0.05, 0.125], [0.05, 0.125]]
    plain = compiled(SGD(0.5))
    whole = ReduceOnPlateau("b", patience=1, factor=0.5, lowest=0.3)
    whole.set_model(plain)
    plain.evaluate(*tiny.arrays(8), verbose=0)
    whole.on_train_begin()
    for epoch in range(3):
        whole.on_epoch_end(epoch, {"val_b_mae": 1.0})
    assert float(plain.optimizer.learning_rate) == pytest.approx(0.3)


def test_what_cannot_be_is_named():
    scheduled = mtl.optimizers.per_task(SGD(mtl.optimizers.WarmUp(0.1, 2)))
    for call, text in (
        (
            lambda: TaskEarlyStopping(patience=0),
            "Expected a patience of at least 1 epoch. Received: patience=0. Do pass patience=3.",
        ),
        (
            lambda: TaskEarlyStopping(min_delta=-1.0),
            "Expected a finite min_delta of at least 0. Received: min_delta=-1.0. Do pass 0.0.",
        ),
        (
            lambda: fit(compiled(), [TaskEarlyStopping(["c"])]),
            "Expected tasks among those that train, ['a', 'b']. Received: task='c'. Do correct the name.",
        ),
        (
            lambda: fit(compiled(), [TaskEarlyStopping(patience={"a": 1})]),
            "Expected a patience for each of ['a', 'b']. Received: patience={'a': 1}. Do name every task once.",
        ),
        (
            lambda: Schedule({"a": {0: -1.0}}),
            "Expected finite weights of at least 0 by epoch, from 0. Received: a={0: -1.0}. "
            "Do correct the plan of this task.",
        ),
        (
            lambda: fit(compiled(), [Schedule({"c": 1.0})]),
            "Expected tasks among those that train, ['a', 'b']. Received: task='c'. Do correct the name.",
        ),
        (
            lambda: fit(compiled(), [Schedule({"b": lambda epoch: -1.0})]),
            "Expected finite task weights of at least 0. Received: b=-1.0. Do correct it.",
        ),
        (
            lambda: ReduceOnPlateau("a", factor=1.0),
            "Expected a factor above 0 and below 1. Received: factor=1.0. Do pass factor=0.1.",
        ),
        (
            lambda: ReduceOnPlateau("a", cooldown=-1),
            "Expected whole epochs of at least 0. Received: cooldown=-1. Do correct it.",
        ),
        (
            lambda: fit(compiled(mtl.optimizers.per_task("sgd")), [ReduceOnPlateau("a")]),
            "Expected a part of the optimizer, here ['shared']. Received: part='a'. Do give the task an optimizer of "
            "its own with optimizers.per_task, or name another part.",
        ),
        (
            lambda: fit(compiled(scheduled), [ReduceOnPlateau()]),
            "Expected an optimizer whose learning rate is a number. Received: part='shared'. "
            "Do leave out the schedule, or this callback.",
        ),
    ):
        tiny.refused(call, text)
