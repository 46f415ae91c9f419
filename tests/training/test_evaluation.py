"""Evaluation leaves training's numbers alone, and neither hides what was not measured."""

import warnings

import keras
import numpy as np
import pytest
import tiny


@pytest.fixture(scope="module")
def made():
    """One model for all, traced once."""
    model = tiny.model()
    model.compile(keras.optimizers.SGD(0.01), loss=tiny.LOSSES, metrics={"a": ["accuracy"], "b": ["mae"]})
    return model, model.get_weights()


@pytest.fixture
def model(made):
    """The model as it was made."""
    made[0].set_weights(made[1])
    return made[0]


class EvaluateWithin(keras.callbacks.Callback):
    """Evaluates after every step, as a curious user might."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.evaluate(tiny.dataset(*tiny.arrays(5, seed=1)), verbose=0)


def test_evaluation_in_the_middle_of_an_epoch_leaves_the_losses_of_the_epoch(made):
    model, start = made
    data, logs = tiny.dataset(*tiny.arrays(32)), []
    for callbacks in ([], [EvaluateWithin()]):
        model.set_weights(start)
        logs.append(model.fit(data, verbose=0, callbacks=callbacks).history)
    plain, logs = logs
    for key in ("loss", "a_loss", "b_loss", "a_weight", "b_weight"):
        assert logs[key] == plain[key]


def test_a_task_that_sat_out_the_whole_epoch_was_not_measured(made):
    """Its loss and metrics are NaN, where those of a task without labels are 0; the other task's are the same."""
    x, y = tiny.arrays(32)
    without, infinite = ({**y, "b": np.full(32, value, "float32")} for value in (np.nan, np.inf))
    model, start = made
    model.set_weights(start)
    plain = model.fit(tiny.dataset(x, without), verbose=0).history
    assert plain["b_loss"] == plain["b_mae"] == [0.0]
    model.set_weights(start)
    with pytest.warns(UserWarning, match="Task 'b' sat out 2 of the steps of epoch 1"):
        logs = model.fit(tiny.dataset(x, infinite), validation_data=tiny.dataset(x, y), verbose=0).history
    assert np.isnan([logs["b_loss"], logs["b_mae"]]).all()
    assert logs["b_weight"] == [0.0]
    for key in ("loss", "a_loss", "a_accuracy", "a_weight"):
        assert logs[key] == plain[key]
    assert np.isfinite([values for key, values in logs.items() if key.startswith("val_")]).all()
    assert model.evaluate(tiny.dataset(x, infinite), return_dict=True, verbose=0)["b_loss"] == np.inf, (
        "evaluation hides nothing"
    )


SAID = (
    "Of 8 examples these have values that are not finite: {}. What is measured on them means nothing. "
    "Look for NaN and infinite values in the data, and in the model's weights."
)


def said(recwarn):
    """What was said of outputs since the last time."""
    texts = [str(warning.message) for warning in recwarn]
    recwarn.clear()
    return [text for text in texts if "not finite" in text]


def test_what_is_not_finite_is_told_once_a_call(model, recwarn):
    """On one device and on two replicas, one of which has a borrowed share in the last batch."""
    warnings.simplefilter("always")
    x, y = tiny.arrays(8)
    x[1, 0, 0], x[7, 3, 3] = np.nan, np.inf
    data, good = tiny.dataset(x, y, 7), tiny.dataset(*tiny.arrays(8))
    with tiny.replicas(2).scope():
        two = tiny.model()
    two.compile("sgd", loss=tiny.LOSSES)
    for call in (
        lambda: model.evaluate(data, verbose=0),
        lambda: two.evaluate(data, verbose=0),
        lambda: model.fit(good, validation_data=data, epochs=2, verbose=0),
        lambda: model.predict(x, verbose=0),
    ):
        call()
        (text,) = said(recwarn)
        # whether outputs are, too, is up to TensorFlow: its fused convolutions make a 0 of NaN
        assert text.startswith(SAID.split("{}")[0] + "2 in the inputs")
    for call in (lambda: model.evaluate(good, verbose=0), lambda: model.predict(good, verbose=0)):
        call()
        assert said(recwarn) == []
    model.get_layer("b").set_weights([weight * np.nan for weight in model.get_layer("b").get_weights()])
    for call in (lambda: model.test_on_batch(*tiny.arrays(8)), lambda: model.predict(good, verbose=0)):
        call()
        assert said(recwarn) == [SAID.format("8 in the output of 'b'")]


def test_a_whole_epoch_of_bad_images_reads_nan(model):
    x, y = tiny.arrays(16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logs = model.fit(tiny.dataset(x * np.nan, y), verbose=0).history
    assert np.isnan([logs[key] for key in ("loss", "a_loss", "a_accuracy", "b_loss", "b_mae")]).all()


def test_metrics_are_those_of_the_evaluation_while_it_lasts(model):
    names = [metric.name for metric in model.metrics]
    assert names == ["losses", "gradients", "evaluation", "not_finite", "accuracy", "mae"]
    seen = []

    class Look(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            seen.append([metric.name for metric in self.model.metrics])

    model.evaluate(tiny.dataset(*tiny.arrays(8)), callbacks=[Look()], verbose=0)
    assert seen == [names[2:]]
    assert [metric.name for metric in model.metrics] == names


class Knows(keras.callbacks.Callback):
    """Keeps what a callback can know of validation when training begins, and looks no further."""

    def on_train_begin(self, logs=None):
        self.validation = self.model.validation
        raise StopIteration


@pytest.mark.parametrize("given", [None, "data", "split"])
def test_callbacks_know_whether_there_is_validation(model, given):
    x, y = tiny.arrays(8)
    knows = Knows()
    arguments = {None: {}, "data": {"validation_data": (x, y)}, "split": {"validation_split": 0.25}}[given]
    with pytest.raises(StopIteration):
        model.fit(x, y, callbacks=[knows], verbose=0, **arguments)
    assert knows.validation.has_data is (given is not None)
    assert model.validation is None
