"""Callbacks watch the right number in the right direction, and write what was trained."""

import io
import os
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mtl_keras as mtl
from mtl_keras.analysis import overall_score, task_metrics
from mtl_keras.callbacks.monitor import Monitor
from mtl_keras.training.validation import Validation


def compiled(**kwargs):
    model = tiny.model()
    metrics = {"a": ["accuracy"], "b": ["mae"]}
    model.compile(keras.optimizers.SGD(0.01), loss=tiny.LOSSES, metrics=metrics, **kwargs)
    return model


def test_overall_score_by_hand():
    """(0.8 + (1 - 2/8)) / 2 = 0.775."""
    score = overall_score({"a": 0.8, "b": 2.0}, {"a": "max", "b": "min"}, {"b": 8.0})
    assert score == pytest.approx(0.775)
    tiny.refused(
        lambda: overall_score({"b": 2.0}, {"b": "min"}, {"b": 0.0}),
        "Expected a reference above 0 for every error. Received: task='b', reference=0.0. Do pass a baseline's error.",
    )


@pytest.mark.parametrize(
    ("monitor", "key", "mode"),
    [
        ("overall", "val_overall", "max"),
        ("a", "val_a_accuracy", "max"),
        ("b", "val_b_mae", "min"),
        ("val_b_loss", "val_b_loss", "min"),
        ("a_accuracy", "a_accuracy", "max"),
        ("val_loss", "val_loss", "min"),
    ],
)
def test_directions_are_known_for_every_name(monitor, key, mode):
    """Keras' mode='auto' raises for all of the per-output names."""
    watch = Monitor(compiled(), monitor, validated=True)
    assert (watch.key, watch.mode) == (key, mode)


@pytest.mark.parametrize("monitor", ["val_accuracy", "c", "val_a"])
def test_names_that_never_fire_are_errors(monitor):
    """Keras takes val_accuracy on a model with several outputs, and never stops."""
    x, y = tiny.arrays(16)
    model = compiled()
    before = model.get_weights()
    tiny.refused(
        lambda: model.fit(x, y, validation_data=(x, y), callbacks=[mtl.callbacks.EarlyStopping(monitor)], verbose=0),
        "Expected something that training logs. "
        f"Received: monitor={monitor!r}. Do choose one of ['overall', 'loss', 'a_loss', 'a_accuracy', 'b_loss', "
        "'b_mae', 'val_overall', 'val_loss', 'val_a_loss', 'val_a_accuracy', 'val_b_loss', 'val_b_mae', 'a', 'b'].",
    )
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("monitor", ["a", "overall", "val_a_accuracy"])
def test_what_is_measured_on_validation_data_needs_them(monitor, tmp_path):
    """Keras only warns after every epoch."""
    model = compiled()
    key = {"overall": "overall"}.get(monitor, "a_accuracy")
    for callback in (
        mtl.callbacks.EarlyStopping(monitor),
        mtl.callbacks.BestModel(tmp_path / "best.keras", monitor),
        mtl.callbacks.ReduceOnPlateau(monitor),
        *([mtl.callbacks.TaskEarlyStopping()] if monitor == "a" else []),
    ):
        tiny.refused(
            lambda callback=callback: model.fit(*tiny.arrays(8), callbacks=[callback], verbose=0),
            f"Expected validation data, on which 'val_{key}' is measured. Received: monitor={monitor!r}, "
            f"validation_data=None. Do pass fit(validation_data=...), or watch {key!r} with validated=False.",
        )


def test_the_best_model_needs_a_path_that_keras_can_write():
    for path, only_weights, ending in (("best.h5", False, ".keras"), ("best.keras", True, ".weights.h5")):
        tiny.refused(
            lambda path=path, only=only_weights: mtl.callbacks.BestModel(path, save_weights_only=only),
            f"Expected a path that ends in {ending}. Received: path={path!r}. Do rename the file.",
        )


@pytest.mark.parametrize(("freq", "epochs"), [(5, 4), ([9], 4), (0, 4)])
def test_what_would_never_be_validated_is_refused(freq, epochs):
    """Keras goes on without a word."""
    x, y = tiny.arrays(8)
    model = compiled()
    for monitor, callback in (("b", mtl.callbacks.EarlyStopping("b")), ("a", mtl.callbacks.TaskEarlyStopping(["a"]))):
        key = {"a": "a_accuracy", "b": "b_mae"}[monitor]
        given = {"validation_data": (x, y), "validation_freq": freq, "epochs": epochs, "callbacks": [callback]}
        tiny.refused(
            lambda given=given: model.fit(x, y, verbose=0, **given),
            f"Expected an epoch that is validated, in which 'val_{key}' is measured. Received: monitor={monitor!r}, "
            f"validation_freq={freq}, epochs={epochs}. Do validate more often, train for longer, or watch {key!r} with "
            "validated=False.",
        )


@pytest.mark.parametrize(("freq", "begin", "end"), [(5, 0, 5), (5, 4, 5), ([2], 0, 3), (5, 3, 3)])
def test_what_is_validated_once_is_enough(freq, begin, end):
    """A run that has ended already, too: there is nothing to watch."""
    assert not Validation(True, freq, range(begin, end)).never


class Scripted(keras.callbacks.Callback):
    """Replaces validation results by given ones."""

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        for key, values in self.values.items():
            logs[key] = values[epoch]


def fit(callbacks, epochs=6, model=None, **kwargs):
    x, y = tiny.arrays(16)
    model = model or compiled(**kwargs)
    history = model.fit(x, y, validation_data=(x, y), epochs=epochs, callbacks=callbacks, verbose=0)
    return model, history.history


def test_early_stopping_on_a_task_and_on_all():
    """Accuracy rises to its best in epoch 2 of 0..; the error of b falls on: watching b goes on to the end."""
    accuracy, error = [0.5, 0.6, 0.7, 0.6, 0.5, 0.4], [5.0, 4.0, 3.0, 2.9, 2.8, 2.7]
    script, model = {"val_a_accuracy": accuracy, "val_b_mae": error}, compiled()
    for monitor, epochs in (("a", 5), ("b", 6), ("overall", 5)):
        stop = mtl.callbacks.EarlyStopping(monitor, patience=2)
        _, logs = fit([Scripted(**script), stop], model=model)
        assert len(logs["loss"]) == epochs
    # overall: (0.5 + 0)/2, (0.6 + 0.2)/2, (0.7 + 0.4)/2, (0.6 + 0.42)/2, (0.5 + 0.44)/2
    np.testing.assert_allclose(logs["val_overall"], [0.25, 0.4, 0.55, 0.51, 0.47])
    assert stop.best_epoch == 2


def test_epochs_without_validation_do_not_count(recwarn, tmp_path):
    x, y = tiny.arrays(16)
    stop = mtl.callbacks.EarlyStopping("overall", patience=1, min_delta=100.0)
    callbacks = [
        stop,
        mtl.callbacks.BestModel(tmp_path / "best.keras", "b"),
        mtl.callbacks.TaskEarlyStopping(patience=9),
    ]
    data = {"validation_data": (x, y), "validation_freq": 2}
    history = compiled().fit(x, y, epochs=9, callbacks=callbacks, verbose=0, **data).history
    assert len(history["loss"]) == 4, "two validations, the second of which is no better"
    assert stop.best == history["val_overall"][0]
    assert not [warning for warning in recwarn if "conditioned" in str(warning.message)]


def test_an_epoch_without_training_labels_does_not_count_where_training_is_watched():
    """It logs 0, which would be the best error there is; an epoch sat out logs NaN, and is one without improvement."""
    x, y = tiny.arrays(16)
    model, seen = compiled(), []
    for value, says_nothing in ((0.5, False), (np.nan, True), (np.inf, False)):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Task 'b' sat out")
            data = tiny.dataset(x, {**y, "b": np.full(16, value, "float32")})
            history = model.fit(data, validation_data=tiny.dataset(x, y), verbose=0).history
        logs = {key: values[0] for key, values in history.items()}
        for monitor, validated in (("b", False), ("b_mae", True)):
            assert Monitor(model, monitor, validated).says_nothing(logs) == says_nothing
        watch = Monitor(model, "overall", validated=False)
        watch.add_overall(logs)
        seen.append(logs["overall"])
        assert Monitor(model, "b", validated=True).value(logs) == logs["val_b_mae"]
    assert np.isfinite(seen).all(), "measured against themselves, without what was not measured"


def test_an_epoch_of_nan_is_never_the_best(tmp_path):
    script = Scripted(val_a_accuracy=[np.nan, 0.5, np.nan, 0.4, 0.3, 0.2])
    stop = mtl.callbacks.EarlyStopping("a", patience=3)
    best = mtl.callbacks.BestModel(tmp_path / "best.keras", "a")
    fit([script, stop, best])
    assert stop.best_epoch == 1
    assert best.best == 0.5


def test_the_best_model_is_kept_whole(tmp_path, monkeypatch):
    errors = [3.0, 1.0, 2.0]
    seen = []

    class Remember(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.get_layer("conv").kernel.numpy())

    def note(make, **kwargs):
        made = make(**kwargs)
        if seen:  # training has begun
            names.append(made.name)
        return made

    best, names = mtl.callbacks.BestModel(tmp_path / "best.keras", "b"), []
    with tf.variable_creator_scope(note):
        fit([Scripted(val_b_mae=errors), Remember(), best], epochs=3, weighting="uncertainty")
    loaded = keras.models.load_model(tmp_path / "best.keras")
    np.testing.assert_array_equal(loaded.get_layer("conv").kernel.numpy(), seen[1])
    assert loaded.weighting.name == "uncertainty"
    # for every new name of a variable TensorFlow keeps memory; Keras makes variables when it saves
    assert len(names) > 1
    assert len(set(names)) == 1
    # a disk that is full
    file = (tmp_path / "best.keras").read_bytes()
    monkeypatch.setattr(os, "fsync", lambda *_: os.write(-1, b""))
    with pytest.raises(OSError, match="Expected room for the best model at") as error:
        best.on_epoch_end(3, {"val_b_mae": 0.5})
    assert error.value.strerror == (
        f"Expected room for the best model at {tmp_path}/best.keras. Received: error='Bad file descriptor'. "
        "Do make room and start again; a file that was there is as it was."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["best.keras"]
    assert (tmp_path / "best.keras").read_bytes() == file


def test_task_metrics_name_what_decides():
    model, logs = fit([], epochs=1)
    found = task_metrics(model, {key: values[0] for key, values in logs.items()}, "val_")
    assert found == {
        "a": ("val_a_accuracy", logs["val_a_accuracy"][0], "max"),
        "b": ("val_b_mae", logs["val_b_mae"][0], "min"),
    }


def test_task_board_writes_what_history_has(tmp_path, monkeypatch):
    board = mtl.callbacks.TaskBoard(tmp_path, every=1)
    write, written = tf.summary.scalar, []

    def note(tag, value):
        written.append((type(value), type(tf.summary.experimental.get_step())))
        write(tag, value)

    monkeypatch.setattr(tf.summary, "scalar", note)
    _, logs = fit([board], epochs=2)
    # TensorFlow keeps every Python number that it makes a tensor of
    assert set(written) == {(np.float32, np.int64)}
    for run, prefix in (("train", ""), ("validation", "val_")):
        events = EventAccumulator(str(tmp_path / run))
        events.Reload()
        tags = {tag for tag in events.Tags()["tensors"] if not tag.startswith("batch/")}
        keys = {
            "loss/total": "loss",
            "loss/a": "a_loss",
            "loss/b": "b_loss",
            "accuracy/a": "a_accuracy",
            "mae/b": "b_mae",
        }
        keys |= {"weight/a": "a_weight", "weight/b": "b_weight"} if run == "train" else {}
        assert tags == {*keys, *(["learning_rate"] if run == "train" else [])}
        for tag, key in keys.items():
            points = events.Tensors(tag)
            assert [point.step for point in points] == [0, 1]
            values = [float(np.frombuffer(p.tensor_proto.tensor_content, "f4")[0]) for p in points]
            np.testing.assert_allclose(values, logs[prefix + key], rtol=1e-6)
        if run == "train":
            assert [point.step for point in events.Tensors("batch/loss/a")] == [1, 2]


def test_logs_that_could_not_be_written_are_named_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    model = compiled()
    tiny.refused(
        lambda: model.fit(*tiny.arrays(8), callbacks=[mtl.callbacks.TaskBoard(tmp_path / "file")], verbose=0),
        f"Expected a folder to write logs to. Received: path='{tmp_path}/file/train'. "
        "Do choose another, or make it writable.",
    )
    assert int(model.optimizer.iterations) == 0


def test_task_board_says_what_to_type(tmp_path, monkeypatch):
    board = mtl.callbacks.TaskBoard("runs/first")
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr("shutil.which", lambda command: None)
    assert board.how_to_open() == "tensorboard --logdir runs/first"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tensorboard").touch()
    monkeypatch.chdir(tmp_path)
    assert board.how_to_open() == "bin/tensorboard --logdir runs/first"
    monkeypatch.setattr("shutil.which", lambda command: f"/usr/bin/{command}")
    assert board.how_to_open() == "tensorboard --logdir runs/first"


def test_task_board_shows_the_rate_of_every_part(tmp_path):
    x, y = tiny.arrays(16)
    model = tiny.model()
    parts = mtl.optimizers.per_task(keras.optimizers.SGD(0.25), {"b": keras.optimizers.SGD(0.5)})
    model.compile(parts, loss=tiny.LOSSES)
    model.fit(x, y, callbacks=[mtl.callbacks.TaskBoard(tmp_path)], verbose=0)
    events = EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    for part, rate in (("shared", 0.25), ("b", 0.5)):
        (point,) = events.Tensors(f"learning_rate/{part}")
        assert np.frombuffer(point.tensor_proto.tensor_content, "f4")[0] == rate


def test_progress_in_a_log_file_has_whole_lines_and_every_task():
    stream = io.StringIO()
    _, logs = fit([mtl.callbacks.Progress(stream, every=0.0)], epochs=2)
    text = stream.getvalue()
    assert "\r" not in text
    assert "\x1b" not in text
    lines = text.splitlines()
    assert len(lines) == 4  # one step and one end of each epoch
    assert lines[0].startswith("Epoch 1/2, step 1/1: loss ")
    final = {key: f"{values[1]:.3f}" for key, values in logs.items()}
    a = f"a loss {final['val_a_loss']} accuracy {final['val_a_accuracy']}"
    b = f"b loss {final['val_b_loss']} mae {final['val_b_mae']}"
    assert lines[3].endswith(f"| validation loss {final['val_loss']}; {a}; {b}")


def test_time_left_does_not_count_what_only_the_first_step_waits_for(monkeypatch):
    """30 s of tracing, then 2 s a step: 4 of 6 steps done leaves 4 s, not 18."""
    stream, clock = io.StringIO(), iter([0.0, 30.0, 32.0, 34.0, 36.0])
    model = compiled()
    model.fit(*tiny.arrays(8), verbose=0)  # so that there is something to show
    monkeypatch.setattr("mtl_keras.callbacks.progress.time.monotonic", lambda: next(clock))
    progress = mtl.callbacks.Progress(stream, every=1.0)
    progress.set_model(model)
    progress.set_params({"steps": 6, "epochs": 1})
    progress.on_epoch_begin(0)
    for batch in range(4):
        progress.on_train_batch_end(batch)
    heads = [line.split(": loss")[0] for line in stream.getvalue().splitlines()]
    assert heads == ["Epoch 1/1, step 1/6"] + [f"Epoch 1/1, step {n}/6, 0:{2 * (6 - n):02d} left" for n in (2, 3, 4)]


def test_progress_on_a_terminal_rewrites_one_line():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    fit([mtl.callbacks.Progress(stream, every=0.0)], epochs=1)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().startswith("\rEpoch 1/1, step 1/1")
