"""Every mistake is named before training starts, in one form, word for word."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl


def refused(call, text):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert str(error.value) == text


def compiled(**kwargs):
    model = tiny.model()
    model.compile("sgd", **{"loss": tiny.LOSSES, **kwargs})
    return model


@pytest.mark.parametrize("name", ["", "1a", "a.b", "a/b", "a b", "ä", None, 3])
def test_names_that_keras_or_litert_would_mangle(name):
    refused(
        lambda: mtl.Task(name),
        "Expected a task name of letters, digits and '_' that begins with a letter. "
        f"Received: name={name!r}. Do rename the task.",
    )


@pytest.mark.parametrize("name", ["loss", "overall", "val_age"])
def test_names_that_the_logs_use(name):
    refused(
        lambda: mtl.Task(name),
        "Expected a task name that logs leave free (not 'loss', 'overall' or 'val_...'). "
        f"Received: name={name!r}. Do rename the task.",
    )


def test_names_that_collide():
    x, outputs = tiny.graph()
    refused(
        lambda: mtl.MultiTaskModel(x, {"age": outputs["a"], "Age": outputs["b"]}),
        "Expected task names that differ. Received: first='age', second='Age'. Do rename one of them.",
    )


@pytest.mark.parametrize(
    ("names", "twice"), [("a a_logits", "a_logits"), ("a image", "image"), ("a trunk_conv1", "trunk_conv1")]
)
def test_task_names_that_layers_have(names, twice):
    """What Keras says of a name that comes twice is recognised, too."""
    tasks = [mtl.Task(name, mtl.heads.Classifier(2)) for name in names.split()]
    refused(
        lambda: mtl.build(keras.Input((4, 4, 1), name="image"), mtl.sharing.Hard(mtl.trunks.Conv((2,))), tasks),
        "Expected task names that no input, layer of the trunk or layer of another head has. "
        f"Received: layer={twice!r}, tasks={names.split()}. Do rename the task.",
    )


def test_outputs_that_are_no_dict():
    x, outputs = tiny.graph()
    refused(
        lambda: mtl.MultiTaskModel(x, list(outputs.values())),
        "Expected outputs as a dict of task names and tensors (other structures lose their names in exports). "
        "Received: outputs='list'. Do pass outputs={'age': ..., 'sex': ...}.",
    )


def test_tasks_that_are_not_the_outputs():
    x, outputs = tiny.graph()
    refused(
        lambda: mtl.MultiTaskModel(x, outputs, tasks=[mtl.Task("b"), mtl.Task("a")]),
        "Expected one task per output, in the same order. Received: tasks=['b', 'a'], outputs=['a', 'b']. "
        "Do pass both alike.",
    )


def test_task_weights_that_cannot_be():
    for value in (-1.0, float("inf"), float("nan")):
        refused(
            lambda value=value: mtl.Task("a", weight=value),
            f"Expected a finite weight of at least 0 for task 'a'. Received: weight={value!r}. Do correct it.",
        )


@pytest.mark.parametrize("what", ["loss", "metrics", "weighted_metrics", "loss_weights", "class_weight"])
def test_compile_keys_that_are_no_task(what):
    """Keras matches loss_weights by position: {'a': 1, 'c': 0} would silence b."""
    value = {"loss": {"c": "mse"}, "loss_weights": {"a": 1, "c": 0}, "class_weight": {"c": {0: 1.0}}}.get(
        what, {"c": []}
    )
    refused(
        lambda: compiled(**{what: value}),
        f"Expected task names among ['a', 'b'] in {what}. Received: {what}='c'. Do correct the key.",
    )


def test_compile_values_that_do_not_fit():
    refused(
        lambda: compiled(metrics=["accuracy"]),
        "Expected metrics as a dict by task name. Received: metrics=['accuracy']. Do name the tasks: ['a', 'b'].",
    )
    refused(
        lambda: compiled(loss_weights={"a": -1.0}),
        "Expected finite numbers of at least 0 in loss_weights. Received: a=-1.0. Do pass a number; weights that "
        "change while training are weighting='static' and its assign().",
    )
    variable = tf.Variable(1.0)  # which Keras takes, and loads from a file as a constant
    refused(
        lambda: compiled(loss_weights={"a": variable}),
        f"Expected finite numbers of at least 0 in loss_weights. Received: a={variable!r}. Do pass a number; weights "
        "that change while training are weighting='static' and its assign().",
    )
    refused(
        lambda: compiled(loss="auto"),
        "Expected a loss for task 'a', which has no head to bring one. Received: loss='auto'. Do pass "
        "compile(loss={...}) with one entry per task, or None for an output that is not trained.",
    )
    refused(
        lambda: compiled(loss={"a": None}),
        "Expected at least one task with a loss. Received: loss={'a': None}. Do pass compile(loss={...}).",
    )
    refused(
        lambda: compiled(loss={"b": keras.losses.MeanSquaredError(reduction="sum")}),
        "Expected a loss that is a mean over the labels that exist, for task 'b'. Received: reduction='sum'. "
        "Do leave reduction at its default; multiply with loss_weights to scale a loss.",
    )
    refused(
        lambda: compiled(class_weight={"b": {0: 1.0}}),
        "Expected class weights only for tasks with class ids as labels (task 'b' is regression). "
        "Received: class_weight={0: 1.0}. Do remove them, or use sample weights.",
    )
    refused(
        lambda: compiled(class_weight={"a": {5: 1.0}}),
        "Expected class ids from 0 to 4 in the class weights of task 'a'. Received: class_weight={5: 1.0}. "
        "Do correct the ids.",
    )
    shared = keras.metrics.MeanAbsoluteError(name="m")
    refused(
        lambda: compiled(metrics={"a": [shared], "b": [shared]}),
        "Expected a metric object of its own for each task (tasks 'a' and 'b'). Received: metric='m'. "
        "Do make one for each.",
    )


def test_log_keys_that_collide():
    """Keras renames the second silently."""
    x, outputs = tiny.graph()
    model = mtl.MultiTaskModel(x, {"a": outputs["a"], "a_b": outputs["b"]})
    refused(
        lambda: model.compile(
            "sgd",
            loss={"a": "sparse_categorical_crossentropy", "a_b": "mse"},
            metrics={"a": [keras.metrics.SparseCategoricalAccuracy(name="b_loss")]},
        ),
        "Expected log keys that differ (task 'a_b' and task 'a' both log this one). Received: key='a_b_loss'. "
        "Do rename the task or the metric.",
    )


def test_methods_and_scopes_that_do_not_exist():
    refused(
        lambda: compiled(weighting="magic"),
        "Expected the name of a weighting. Received: weighting='magic'. "
        f"Do choose one of {', '.join(mtl.weightings.names())}.",
    )
    refused(
        lambda: compiled(scope="everywhere"),
        "Expected a scope among ['parameters', 'features', 'last_layer']. Received: scope='everywhere'. Do choose one.",
    )
    refused(
        lambda: compiled(weighting="test_row_sum", scope="features"),
        "Expected a scope among ['parameters'] for weighting 'test_row_sum'. Received: scope='features'. "
        "Do pass scope='parameters'.",
    )


def test_a_frozen_trunk_under_a_gradient_method():
    model = tiny.model()
    model.get_layer("conv").trainable = model.get_layer("dense").trainable = False
    refused(
        lambda: model.compile("sgd", loss=tiny.LOSSES, weighting="test_unit_norm"),
        "Expected trainable variables that tasks share, for weighting 'test_unit_norm' to balance. "
        "Received: trainable_shared_variables=0. Do unfreeze the trunk, or choose a weighting that reads losses only.",
    )


def test_layers_that_are_frozen_after_compile():
    """Keras goes on training them where a step is there already."""
    model = compiled()
    model.get_layer("conv").trainable = False
    for train in (partial(model.fit, verbose=0), model.train_on_batch):
        refused(
            lambda train=train: train(*tiny.arrays(8)),
            "Expected layers as trainable as they were at compile. Received: first='conv/bias', count=2. "
            "Do compile again, or use freeze and unfreeze, which keep the optimizer's memory.",
        )


MISSING_KEY = (
    "Expected labels of every trained task ['a', 'b']. Received: keys=['a']. Do add 'b'; labels that are missing are "
    "NaN, the task's missing value or weight 0 (mtl.data.complete fills them in), and compile(loss={...: None}) leaves "
    "a task out."
)


@pytest.mark.parametrize("as_dataset", [True, False])
def test_labels_with_wrong_keys(as_dataset):
    x, y = tiny.arrays(8)
    model = compiled()

    def fit(labels):
        return model.fit(tiny.dataset(x, labels), verbose=0) if as_dataset else model.fit(x, labels, verbose=0)

    refused(lambda: fit({"a": y["a"]}), MISSING_KEY)
    refused(
        lambda: fit({**y, "B": y["b"]}),
        "Expected label keys among the trained tasks ['a', 'b']. Received: key='B'. Do correct the key, or drop it.",
    )
    refused(
        lambda: fit(y["a"]),
        "Expected labels as a dict by task name. Received: y='"
        + ("TensorSpec" if as_dataset else "ndarray")
        + "'. Do pass y={...} with the keys ['a', 'b'].",
    )


def test_sample_weights_with_wrong_keys():
    x, y = tiny.arrays(8)
    refused(
        lambda: compiled().fit(x, y, sample_weight={"c": np.ones(8)}, verbose=0),
        "Expected sample weight keys among the trained tasks ['a', 'b']. Received: key='c'. Do correct the key.",
    )


def test_labels_out_of_range_are_found_before_training():
    x, y = tiny.arrays(8)
    y["a"][3], y["a"][5] = 7, -2
    refused(
        lambda: compiled().fit(x, y, verbose=0),
        "Expected labels of task 'a' that are whole numbers from 0 to 4, or -1 where missing. Received: value=7, "
        "count=2. Do correct the labels, or give the head more classes.",
    )


def test_images_that_are_not_finite():
    x, y = tiny.arrays(8)
    x[2, 0, 0, 0], x[5, 1, 1, 0] = np.nan, np.inf
    refused(
        lambda: compiled().fit(x, y, verbose=0),
        "Expected finite inputs. Received: first_bad_example=2, count=2. Do correct or drop the example.",
    )


def test_empty_data():
    x, y = tiny.arrays(8)
    refused(
        lambda: compiled().fit(x[:0], {k: v[:0] for k, v in y.items()}, verbose=0),
        "Expected at least one example. Received: examples=0. Do check the file or filter behind the data.",
    )
    refused(
        lambda: compiled().fit(tiny.dataset(x, y).take(0), verbose=0),
        "Expected at least one batch. Received: batches=0. Do check what the dataset is made from.",
    )
    refused(
        lambda: tiny.model().predict(x[:0], verbose=0),
        "Expected at least one example. Received: examples=0. Do check the file or filter behind the data.",
    )


def test_inputs_that_are_none():
    x, y = tiny.arrays(8)
    refused(
        lambda: compiled().fit(verbose=0), "Expected data. Received: x=None. Do pass x and y, or a dataset of both."
    )
    refused(
        lambda: compiled().fit(x.tolist(), y, verbose=0),
        "Expected inputs as arrays. Received: x='list'. Do convert them with numpy.asarray.",
    )


def test_heads_and_tasks_that_are_none():
    for head in ("classifier", mtl.heads.Classifier, 3):
        refused(
            lambda head=head: mtl.Task("a", head),
            f"Expected a head for task 'a', or None. Received: head={head!r}. "
            "Do pass an object, e.g. heads.Classifier(10).",
        )
    refused(
        lambda: mtl.build(keras.Input((4, 4, 1)), mtl.sharing.Hard(mtl.trunks.Conv((2,))), ["a"]),
        "Expected tasks. Received: task='a'. Do pass Task(name, head), e.g. heads.Classifier(10).",
    )


def test_labels_of_another_length():
    x, y = tiny.arrays(8)
    refused(
        lambda: compiled().fit(x, {**y, "b": y["b"][:5]}, verbose=0),
        "Expected 8 labels for task 'b', one per example. Received: labels=5. Do check both.",
    )


def test_validation_data_are_checked_before_training():
    x, y = tiny.arrays(8)
    model = compiled()
    before = model.get_weights()
    refused(lambda: model.fit(x, y, validation_data=(x, {"a": y["a"]}), verbose=0), MISSING_KEY)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_class_weight_in_fit_says_where_it_goes():
    x, y = tiny.arrays(8)
    refused(
        lambda: compiled().fit(x, y, class_weight={"a": {0: 1.0}}, verbose=0),
        "Expected class weights where the losses are set. Received: class_weight={'a': {0: 1.0}}. "
        "Do pass compile(class_weight={task: {class id: weight}}) or Task(class_weight=...).",
    )


def test_using_a_model_that_is_not_compiled():
    with pytest.raises(
        ValueError, match=r"Expected a compiled model. Received: compiled=False. Do call compile first\."
    ):
        tiny.model().fit(*tiny.arrays(8), verbose=0)


def test_absent_labels_are_completed():
    x, y = tiny.arrays(8)
    specs = {"a": tf.TensorSpec((), tf.int32), "b": tf.TensorSpec((), tf.float32)}
    labels, weights = mtl.data.complete({"a": y["a"]}, specs)
    model = compiled()
    before = model.get_layer("b").get_weights()
    model.fit(x, labels, sample_weight=weights, verbose=0)
    assert all((a == b).all() for a, b in zip(before, model.get_layer("b").get_weights(), strict=True))
    refused(
        lambda: mtl.data.complete({"c": y["a"]}, specs),
        "Expected label keys among ['a', 'b']. Received: key='c'. Do correct the key, or drop it.",
    )
    refused(
        lambda: mtl.data.complete({"a": None}, specs),
        "Expected labels of at least one task. Received: labels=['a']. Do drop the batch.",
    )


@pytest.mark.parametrize("call", ["train_on_batch", "test_on_batch"])
def test_single_steps_check_what_fit_checks(call):
    x, y = tiny.arrays(8)
    on_batch = getattr(compiled(), call)
    refused(lambda: on_batch(x, {"a": y["a"]}), MISSING_KEY)
    refused(
        lambda: on_batch(x, {**y, "a": y["a"] + 9}),
        "Expected labels of task 'a' that are whole numbers from 0 to 4, or -1 where missing. Received: value=12, "
        "count=8. Do correct the labels, or give the head more classes.",
    )
    refused(
        lambda: on_batch(x * np.nan, y),
        "Expected finite inputs. Received: first_bad_example=0, count=8. Do correct or drop the example.",
    )
    y = {name: list(labels) for name, labels in y.items()}
    logs = on_batch(x, y, {"b": np.ones(8)}, return_dict=True)
    assert np.isfinite(list(logs.values())).all()
