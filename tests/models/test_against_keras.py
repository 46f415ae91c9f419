"""Equal weights are stock Keras; missing labels are as if their examples had not been there for that task."""

from functools import cache

import keras
import numpy as np
import pytest
import tiny

import mtl_keras as mtl

METRICS = {"a": ["accuracy"], "b": ["mae"]}
LOSS_WEIGHTS = {"a": 0.7, "b": 2.0}


def trained(make, optimizer, data, validation, **kwargs):
    made = make()
    made.compile(optimizer(), loss=tiny.LOSSES, loss_weights=LOSS_WEIGHTS, metrics=METRICS, **kwargs)
    history = made.fit(data, epochs=3, validation_data=validation, verbose=0, shuffle=False)
    return made, history.history


@pytest.mark.parametrize("optimizer", [lambda: keras.optimizers.SGD(0.05, momentum=0.9), tiny.forgiving_adam])
def test_equal_weights_are_stock_keras(optimizer):
    """Weights and logs after three epochs with loss weights, BatchNorm, regularization and a partial last batch."""
    kwargs = {"batch_norm": True, "regularizer": keras.regularizers.L2(0.01)}
    data, validation = tiny.dataset(*tiny.arrays(45)), tiny.dataset(*tiny.arrays(21, seed=1))
    stock, expected = trained(lambda: keras.Model(*tiny.graph(**kwargs)), optimizer, data, validation)
    ours, logs = trained(lambda: tiny.model(**kwargs), optimizer, data, validation)
    assert tiny.difference(stock, ours) < 1e-5
    # Keras 3.15 averages per-output losses of partial batches wrongly; those are checked below against the definition
    for key in [k for k in expected if not k.endswith(("a_loss", "b_loss"))]:
        np.testing.assert_allclose(logs[key], expected[key], atol=1e-5, err_msg=key)
    assert set(logs) - set(expected) == {"a_weight", "b_weight"}
    np.testing.assert_allclose(logs["a_weight"], [0.7] * 3, rtol=1e-6)


@pytest.fixture(scope="module")
def yes_or_no():
    """A model of which every task knows two answers."""
    heads = {"a": mtl.heads.Classifier(2), "b": mtl.heads.MultiLabel(3), "c": mtl.heads.Ordinal(2)}
    tasks = [mtl.Task(name, head) for name, head in heads.items()]
    model = mtl.build(keras.Input((4, 4, 1)), mtl.sharing.Hard(mtl.trunks.Conv((2,))), tasks)
    model.compile("sgd")
    return model


@pytest.mark.parametrize("as_dataset", [True, False])
def test_true_and_false_are_the_labels_1_and_0(yes_or_no, as_dataset):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 4, 4, 1)).astype("float32")
    y = {"a": rng.random(8) > 0.5, "b": rng.random((8, 3)) > 0.5, "c": rng.random(8) > 0.5}
    numbers = {name: labels.astype("int32") for name, labels in y.items()}

    def evaluated(y):
        data = (tiny.dataset(x, y),) if as_dataset else (x, y)
        return yes_or_no.evaluate(*data, return_dict=True, verbose=0)

    assert evaluated(y) == evaluated(numbers)
    yes_or_no.fit(x, y, verbose=0)


@pytest.mark.parametrize("as_dataset", [True, False])
def test_task_losses_are_exact_with_a_partial_batch(as_dataset):
    """17 examples in batches of 16: the mean over 17, not the mean of two batch means."""
    x, y = tiny.arrays(17)
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES)
    given = (tiny.dataset(x, y),) if as_dataset else (x, y)
    logs = model.evaluate(*given, return_dict=True, verbose=0)
    outputs = model.predict(x, verbose=0)
    a = -np.log(outputs["a"][np.arange(17), y["a"]]).mean()
    b = ((outputs["b"][:, 0] - y["b"]) ** 2).mean()
    np.testing.assert_allclose([logs["a_loss"], logs["b_loss"], logs["loss"]], [a, b, a + b], rtol=1e-5)


def test_everything_is_matched_by_the_keys_of_the_outputs():
    """Not by their order, nor by the layers' names: `z`, `b` and `a`, of which two are the output of layer `b`."""
    inputs, outputs = tiny.graph()
    model = mtl.MultiTaskModel(inputs, {"z": outputs["a"], "b": outputs["b"], "a": outputs["b"]})
    losses = {"b": "mse", "a": "mae", "z": "sparse_categorical_crossentropy"}
    weights = {"a": 3.0, "z": 0.5, "b": 0.0}
    model.compile(keras.optimizers.SGD(0.0), loss=losses, loss_weights=weights, metrics={"a": ["mse"]})
    x, y = tiny.arrays(17)
    y = {"a": y["b"], "b": 2 * y["b"], "z": y["a"]}
    said = {task: output[:, 0] if task != "z" else output for task, output in model.predict(x, verbose=0).items()}
    expected = {
        "a_loss": np.abs(said["a"] - y["a"]).mean(),
        "a_mse": ((said["a"] - y["a"]) ** 2).mean(),
        "b_loss": ((said["b"] - y["b"]) ** 2).mean(),
        "z_loss": -np.log(said["z"][np.arange(17), y["z"]]).mean(),
        **{f"{task}_weight": weight for task, weight in weights.items()},
    }
    expected["loss"] = 3.0 * expected["a_loss"] + 0.5 * expected["z_loss"]
    history = model.fit(tiny.dataset(x, y), verbose=0).history
    assert history == {key: [pytest.approx(value, rel=1e-5)] for key, value in expected.items()}


def test_a_dataset_of_unknown_length_trains_as_one_of_known_length():
    """Stock Keras 3.15 runs one step too many there: 8 instead of 6 here, and wrong logs."""
    known = tiny.dataset(*tiny.arrays(45))
    model = tiny.model(dropout=0.5)
    model.compile(tiny.forgiving_adam(), loss=tiny.LOSSES)
    rewind, ends = tiny.rewinding(model), []
    for data in (known, known.filter(lambda *batch: True)):
        rewind()
        logs = model.fit(data, epochs=2, verbose=0, validation_data=data).history
        assert int(model.optimizer.iterations) == 6
        ends.append((logs, [weight.tolist() for weight in model.get_weights()]))
    assert ends[0] == ends[1]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_an_epoch_without_a_batch_is_an_error_not_a_loss_of_zero():
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES)
    with pytest.raises(ValueError, match="at least one batch in every epoch") as error:
        model.fit(tiny.dataset(*tiny.arrays(32)).filter(lambda *batch: True), epochs=3, steps_per_epoch=2, verbose=0)
    assert str(error.value) == (
        "Expected at least one batch in every epoch. Received: batches=0. "
        "Do check what the dataset is made from, and .repeat() it where steps_per_epoch is given."
    )


def test_an_epoch_of_fewer_steps_than_were_asked_for_is_told():
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES)
    data = tiny.dataset(*tiny.arrays(48))
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(data, epochs=2, steps_per_epoch=2, verbose=0)
    with pytest.warns(UserWarning, match="ran out of data"):
        model.evaluate(data, steps=4, verbose=0)


@pytest.mark.parametrize("how", ["nan", "weight"])
def test_missing_labels_equal_training_on_the_labelled_subset(how):
    """Batches of 12 with 8 labelled examples train as batches of those 8: weights and logs."""
    x, y = tiny.arrays(36)
    labelled = np.arange(36) % 3 != 1
    weights = None
    labels = {"b": y["b"].copy()}
    if how == "nan":
        labels["b"][~labelled] = np.nan
    else:
        labels["b"][~labelled] = np.inf  # must not leak through a weight of 0
        weights = {"b": labelled.astype("float32")}
    whole, subset = tiny.model(), tiny.model()
    for model in (whole, subset):
        model.compile(tiny.forgiving_adam(), loss={"b": "mse"}, metrics={"b": ["mae"]})
    one = whole.fit(tiny.dataset(x, labels, 12, weights), epochs=3, verbose=0)
    other = subset.fit(tiny.dataset(x[labelled], {"b": y["b"][labelled]}, 8), epochs=3, verbose=0)
    assert tiny.difference(whole, subset) < 1e-7
    for key in ("b_loss", "b_mae", "loss"):
        np.testing.assert_allclose(one.history[key], other.history[key], rtol=1e-6)


def test_missing_class_ids_count_neither_in_loss_nor_in_accuracy():
    x, y = tiny.arrays(20)
    y["a"][::2] = -1
    model = tiny.model()
    model.compile("sgd", loss={"a": "sparse_categorical_crossentropy"}, metrics={"a": ["accuracy"]})
    logs = model.evaluate(x, {"a": y["a"]}, return_dict=True, verbose=0)
    outputs = model.predict(x, verbose=0)["a"][1::2]
    right = outputs.argmax(axis=1) == y["a"][1::2]
    np.testing.assert_allclose(logs["a_accuracy"], right.mean(), rtol=1e-6)
    np.testing.assert_allclose(logs["a_loss"], -np.log(outputs[np.arange(10), y["a"][1::2]]).mean(), rtol=1e-5)


@pytest.mark.parametrize("weighting", ["equal", "uncertainty", "test_unit_weights"])
def test_a_task_absent_from_a_batch_does_not_move(weighting):
    """Momentum, weight decay and regularization move a variable with zero gradient; an absent task's stays."""
    x, y = tiny.arrays(32)
    model = tiny.model(regularizer=keras.regularizers.L2(0.1))
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.1)
    model.compile(optimizer, loss=tiny.LOSSES, weighting=weighting)
    model.fit(tiny.dataset(x, y), verbose=0)

    def state(task):
        own = [v.numpy() for v in model.get_layer(task).variables]
        slots = [v.numpy() for v in model.optimizer.variables if v.name.startswith(f"{task}_")]
        assert len(slots) == 4  # momentum and velocity of kernel and bias
        return own + slots

    before = {task: state(task) for task in "ab"}
    y["b"][:] = np.nan
    model.fit(tiny.dataset(x, y), verbose=0)
    assert all((one == two).all() for one, two in zip(before["b"], state("b"), strict=True))
    assert all((one != two).any() for one, two in zip(before["a"], state("a"), strict=True))


def test_an_absent_task_leaves_its_uncertainty():
    x, y = tiny.arrays(32)
    model = tiny.model()
    model.compile(keras.optimizers.Adam(0.01), loss=tiny.LOSSES, weighting="uncertainty")
    model.fit(x, y, verbose=0)
    before = model.weighting.log_variances.numpy()
    y["b"][:] = np.nan
    model.fit(x, y, verbose=0)
    after = model.weighting.log_variances.numpy()
    assert after[1] == before[1]
    assert after[0] != before[0]


def test_class_weights_multiply_the_training_loss_only():
    """Two labels of class 0 and one of class 1 with weights 3 and 1: (3 l0 + 3 l1 + l2) / 3."""
    x, _ = tiny.arrays(3)
    y = {"a": np.array([0, 0, 1])}
    model = tiny.model()
    model.compile(
        keras.optimizers.SGD(0.0), loss={"a": "sparse_categorical_crossentropy"}, class_weight={"a": {0: 3.0, 1: 1.0}}
    )
    losses = -np.log(model.predict(x, verbose=0)["a"][np.arange(3), y["a"]])
    logs = model.fit(x, y, verbose=0, validation_data=(x, y)).history
    np.testing.assert_allclose(logs["a_loss"], [(3 * losses[0] + 3 * losses[1] + losses[2]) / 3], rtol=1e-5)
    np.testing.assert_allclose(logs["val_a_loss"], [losses.mean()], rtol=1e-5)


def test_sample_weights_are_divided_as_the_loss_says():
    """Weights 2 and 0: the sum over one label by default, the weighted mean where the loss asks for it."""
    x, _ = tiny.arrays(2)
    y, weight = {"b": np.array([1.0, 5.0], "float32")}, {"b": np.array([2.0, 0.0], "float32")}
    for reduction, factor in (("sum_over_batch_size", 2.0), ("mean_with_sample_weight", 1.0)):
        model = tiny.model()
        model.compile("sgd", loss={"b": keras.losses.MeanSquaredError(reduction=reduction)})
        expected = factor * (model.predict(x, verbose=0)["b"][0, 0] - 1.0) ** 2
        logs = model.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)
        np.testing.assert_allclose(logs["b_loss"], expected, rtol=1e-5)


REGULARIZED = {"batch_norm": True, "regularizer": keras.regularizers.L2(0.05)}


def trained_by_sgd(**kwargs):
    data = tiny.dataset(*tiny.arrays(45))
    return trained(
        lambda: tiny.model(**REGULARIZED), lambda: keras.optimizers.SGD(0.05, momentum=0.9), data, data, **kwargs
    )


@cache
def trained_plainly():
    return trained_by_sgd()


@pytest.mark.parametrize(
    ("method", "scope"),
    [("test_unit_weights", s) for s in mtl.weightings.base.SCOPES] + [("test_row_sum", "parameters")],
)
def test_gradient_scopes_with_unit_weights_are_plain_training(method, scope):
    """Unit weights through trunk, cut and heads give the update of one backward, regularization included."""
    plain, expected = trained_plainly()
    other, logs = trained_by_sgd(weighting=method, scope=scope)
    assert tiny.difference(plain, other) < 1e-6
    for key in expected:
        np.testing.assert_allclose(logs[key], expected[key], rtol=1e-5, err_msg=key)


def test_steps_per_execution_and_eager_change_nothing():
    x, y = tiny.arrays(48)
    made = []
    for kwargs in ({}, {"steps_per_execution": 3}, {"run_eagerly": True}):
        model = tiny.model()
        model.compile(tiny.forgiving_adam(), loss=tiny.LOSSES, weighting="uncertainty", **kwargs)
        made.append((model, model.fit(tiny.dataset(x, y), epochs=2, verbose=0).history))
    for model, logs in made[1:]:
        assert tiny.difference(made[0][0], model) < 1e-6
        np.testing.assert_allclose(logs["loss"], made[0][1]["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("weighting", "scope"),
    [("equal", "parameters"), ("test_unit_weights", "parameters"), ("test_unit_weights", "features")],
)
def test_mixed_precision_scales_the_loss(weighting, scope):
    """Without loss scaling float16 gradients of this size vanish and nothing moves."""
    keras.config.set_dtype_policy("mixed_float16")
    x, y = tiny.arrays(32)
    model = tiny.model()
    model.compile(
        keras.optimizers.SGD(1e4),
        loss=tiny.LOSSES,
        loss_weights={"a": 1e-5, "b": 1e-5},
        weighting=weighting,
        scope=scope,
    )
    before = model.get_layer("conv").kernel.numpy()
    model.fit(x, y, epochs=2, verbose=0)
    moved = np.abs(model.get_layer("conv").kernel.numpy() - before).max()
    assert 1e-3 < moved < 10
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


def test_untrained_outputs_keep_their_weights_and_take_labels_or_none():
    x, y = tiny.arrays(16)
    model = tiny.model()
    model.compile(
        keras.optimizers.AdamW(0.01, weight_decay=0.1), loss={"a": "sparse_categorical_crossentropy", "b": None}
    )
    before = [v.numpy() for v in model.get_layer("b").variables]
    model.fit(x, y, verbose=0)
    logs = model.fit(x, {"a": y["a"]}, verbose=0).history
    assert all((v.numpy() == old).all() for v, old in zip(model.get_layer("b").variables, before, strict=True))
    assert set(logs) == {"loss", "a_loss", "a_weight"}


def test_a_single_task_trains_with_every_kind_of_method():
    x, y = tiny.arrays(32)
    made = []
    for weighting in ("equal", "test_unit_norm", "test_row_sum"):
        inputs, outputs = tiny.graph()
        model = mtl.MultiTaskModel(inputs, {"a": outputs["a"]})
        model.compile(keras.optimizers.SGD(0.1), loss={"a": "sparse_categorical_crossentropy"}, weighting=weighting)
        model.fit(x, {"a": y["a"]}, shuffle=False, verbose=0)
        made.append(model)
    assert tiny.difference(made[0], made[1]) == 0.0
    assert tiny.difference(made[0], made[2]) == 0.0


def test_labels_of_a_dataset_out_of_range_stop_training():
    x, y = tiny.arrays(32)
    y["a"][20] = 5
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES)
    with pytest.raises(ValueError, match="Expected labels") as error:
        model.fit(tiny.dataset(x, y), verbose=0)
    assert str(error.value) == (
        "Expected labels of task 'a' that are whole numbers from 0 to 4, or -1 where missing. Received: value=5, "
        "count=1. Do correct the labels, or give the head more classes."
    )


def test_negative_losses_are_refused_where_a_logarithm_is_taken():
    @keras.saving.register_keras_serializable("tests")
    def below_zero(labels, outputs):
        return -keras.ops.square(outputs[:, 0])

    class NeedsPositive(mtl.weightings.Equal):
        positive_losses = True

    model = tiny.model()
    model.compile("sgd", loss={"b": below_zero}, weighting=NeedsPositive())
    x, y = tiny.arrays(8)
    with pytest.raises(ValueError, match=r"Expected losses of at least 0 for weighting 'equal'. Received: \['b'\]=-"):
        model.fit(x, {"b": y["b"]}, verbose=0)


def compiled():
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES, metrics={"a": ["accuracy"]})
    return model


def test_lists_and_weights_of_some_tasks_only():
    """Keras takes neither."""
    x, y = tiny.arrays(32)
    model = compiled()
    rewind, results = tiny.rewinding(model), []
    for labels, weights in (
        (y, {"a": np.r_[np.zeros(8), np.ones(24)], "b": np.ones(32)}),
        ({task: values.tolist() for task, values in y.items()}, {"a": [0.0] * 8 + [1.0] * 24}),
    ):
        rewind()
        logs = model.fit(x, labels, sample_weight=weights, validation_split=0.25, shuffle=False, verbose=0).history
        results.append({**logs, **model.evaluate(x, labels, sample_weight=weights, return_dict=True, verbose=0)})
    assert results[0] == results[1]
    assert results[0]["a_loss"] != model.evaluate(x, y, return_dict=True, verbose=0)["a_loss"]


def test_a_generator_trains_without_a_warning():
    x, y = tiny.arrays(32)
    batches = ((x[i : i + 16], {task: values[i : i + 16] for task, values in y.items()}) for i in (0, 16))
    model = compiled()
    rewind = tiny.rewinding(model)
    logs = model.fit(batches, verbose=0).history
    rewind()
    assert model.fit(tiny.dataset(x, y), verbose=0).history == logs
