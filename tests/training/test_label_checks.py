"""Labels and sample weights that cannot be are named, alike in arrays, datasets and single batches."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl
from mtl_keras.training import batch_checks, label_checks
from mtl_keras.training.task_plan import plan_task

N = 8
NUMBERS = "Do give class ids in place of texts, as mtl.data.from_arrays does, and NaN where there is no label."
WEIGHTS = (
    "Expected finite sample weights of at least 0 for task 'b'. Received: {}. Do correct them; 0 leaves a label out."
)
IDS = (
    "Expected labels of task 'a' that are whole numbers from 0 to 4, or -1 where missing. Received: {}. "
    "Do correct the labels, or give the head more classes."
)
SHAPE = (
    "Expected labels of task '{}' of shape {} for each example, as its loss compares them with the output. "
    "Received: shape={}. Do reshape them, or change the loss or the output."
)


@pytest.fixture(scope="module")
def plain():
    """Outputs without heads: classes `a`, numbers `b` and `c`, yes or no `d`."""
    model = tiny.model(four=True)
    model.compile("sgd", loss=tiny.FOUR_LOSSES)
    return model


@pytest.fixture(scope="module")
def headed():
    """Classes `a` and three attributes `b`."""
    x, _ = tiny.graph()
    tasks = [mtl.Task("a", mtl.heads.Classifier(5)), mtl.Task("b", mtl.heads.MultiLabel(3))]
    model = mtl.build(x, mtl.sharing.Hard(mtl.trunks.Conv((2,))), tasks)
    model.compile("sgd")
    return model


def data(model, task=None, labels=None):
    """Images, and labels that are right but for those of one task."""
    x, y = tiny.arrays(N, four=True)
    y["a"] = y["a"].astype("float32")  # all in one type, so that steps are traced once
    if len(model.task_names) == 2:
        y = {"a": y["a"], "b": np.zeros((N, 3), "float32")}
    return x, y if task is None else {**y, task: labels}


def floats(**by_place):
    """Zeros, but for `at_2=1.5`."""
    values = np.zeros(N, "float32")
    for place, value in by_place.items():
        values[int(place.removeprefix("at_"))] = value
    return values


VALUES = {
    "no class id": ("plain", "a", floats(at_2=1.5, at_5=np.nan, at_6=-1), IDS.format("value=1.5, count=1")),
    "no class": ("headed", "a", floats(at_1=5, at_4=-0.5), IDS.format("value=5, count=2")),
    "neither yes nor no": (
        "plain",
        "d",
        floats(at_3=5, at_4=np.nan, at_5=0.5),
        "Expected labels of task 'd' from 0 to 1, or NaN where missing. Received: value=5, count=1. "
        "Do correct the labels: 1 is yes and 0 is no.",
    ),
    "neither, with a head": (
        "headed",
        "b",
        floats(at_3=2)[:, None] + np.zeros((N, 3), "float32"),
        "Expected labels of task 'b' from 0 to 1, or -1 where missing. Received: value=2, count=3. "
        "Do correct the labels: 1 is yes and 0 is no.",
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_that_labels_cannot_have(case, request):
    """Arrays are refused before training, batches of a dataset where they are seen."""
    name, task, labels, text = VALUES[case]
    model = request.getfixturevalue(name)
    x, y = data(model, task, labels)
    tiny.refused(lambda: model.fit(x, y, verbose=0), text)
    tiny.refused(lambda: model.evaluate(tiny.dataset(x, y), verbose=0), text)
    # a label that does not count may be anything
    weights = {task: np.zeros(N, "float32")}
    assert np.isfinite(model.evaluate(x, y, sample_weight=weights, verbose=0)).all()


@pytest.mark.parametrize(("value", "received"), [(-1.5, "value=-1.5, count=1"), (np.nan, "value=nan, count=1")])
def test_sample_weights_that_cannot_be(plain, value, received):
    x, y = data(plain)
    weights = {"b": floats(at_3=value)}
    tiny.refused(lambda: plain.fit(x, y, sample_weight=weights, verbose=0), WEIGHTS.format(received))
    tiny.refused(lambda: plain.evaluate(tiny.dataset(x, y, weights=weights), verbose=0), WEIGHTS.format(received))


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (
            np.ones(5),
            "Expected 8 sample weights for task 'b', one per example. Received: weights=5. Do check both.",
        ),
        (
            2.0,
            "Expected 8 sample weights for task 'b', one per example. Received: weights='one for all'. Do check both.",
        ),
        (
            np.ones((N, 3)),
            "Expected one sample weight for each example or label of task 'b'. "
            "Received: weights_shape=(8, 3), labels_shape=(8,). Do correct the shape.",
        ),
        (["much"] * N, WEIGHTS.format("dtype='str128'")),
    ],
)
def test_sample_weights_that_are_not_one_per_example(plain, weights, text):
    x, y = data(plain)
    tiny.refused(lambda: plain.fit(x, y, sample_weight={"b": weights}, verbose=0), text)


@pytest.mark.parametrize(
    ("labels", "received"),
    [
        (["red", "blue"] * 4, "value='red', count=8"),
        ([1, None] * 4, "value=None, count=4"),
        (None, "value=None, count=1"),
        ({"x": np.zeros(N)}, "value={'x': array([0., 0., 0., 0., 0., 0., 0., 0.])}, count=1"),
    ],
)
def test_labels_that_are_no_numbers(plain, labels, received):
    x, y = data(plain, "a", labels)
    text = f"Expected numbers as labels of task 'a'. Received: {received}. {NUMBERS}"
    tiny.refused(lambda: plain.fit(x, y, verbose=0), text)
    tiny.refused(lambda: plain.train_on_batch(x, y), text)


def test_texts_in_a_dataset(plain):
    x, y = data(plain, "a", np.array(["red", "blue"] * 4))
    tiny.refused(
        lambda: plain.fit(tiny.dataset(x, y), verbose=0),
        f"Expected numbers as labels of task 'a'. Received: dtype='string'. {NUMBERS}",
    )


def batches(x, y, *weights, good=0):
    """A generator of such a batch without end, after some that are right."""
    _, fine = tiny.arrays(N, four=True)
    for number in itertools.count():
        yield (x, fine) if number < good else (x, y, *weights)


class Batches(keras.utils.PyDataset):
    """A Keras dataset of one batch."""

    def __init__(self, *batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


@pytest.mark.parametrize("good", [0, 3])
@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (["red", "blue"] * 4, f"Expected numbers as labels of task 'a'. Received: value='red', count=8. {NUMBERS}"),
        (np.zeros(5), "Expected 8 labels for task 'a', one per example. Received: labels=5. Do check both."),
        (np.zeros((N, 5)), SHAPE.format("a", "() or (1,)", (N, 5))),
        (floats(at_2=7), IDS.format("value=7, count=1")),
    ],
)
def test_batches_of_a_generator(plain, labels, text, good):
    """Keras reads two before training, the others in a thread of TensorFlow."""
    x, y = data(plain, "a", labels)
    tiny.refused(lambda: plain.evaluate(batches(x, y, good=good), steps=5, verbose=0), text)


def test_batches_that_are_refused_before_training(plain):
    x, texts = data(plain, "a", ["red", "blue"] * 4)
    _, y = data(plain)
    text = f"Expected numbers as labels of task 'a'. Received: value='red', count=8. {NUMBERS}"
    for given in (batches(x, texts), Batches(x, texts)):
        tiny.refused(lambda given=given: plain.fit(given, steps_per_epoch=1, verbose=0), text)
        validated = {"validation_data": given, "validation_steps": 1}
        if isinstance(given, Batches):
            tiny.refused(lambda validated=validated: plain.fit(x, y, verbose=0, **validated), text)
    tiny.refused(
        lambda: plain.fit(batches(x, y, {"b": np.ones((N, 3))}), steps_per_epoch=1, verbose=0),
        "Expected one sample weight for each example or label of task 'b'. "
        "Received: weights_shape=(8, 3), labels_shape=(8,). Do correct the shape.",
    )
    tiny.refused(
        lambda: plain.fit((batch for batch in ()), verbose=0),
        "Expected at least one batch. Received: batches=0. Do check what the generator is made from.",
    )
    tiny.refused(
        lambda: plain.fit(([x, y] for _ in "ab"), verbose=0),
        "Expected batches (x, y) or (x, y, sample_weight). Received: batch='list'. Do make each a tuple.",
    )


def test_generators_take_what_arrays_may_be(plain):
    """Lists, and weights of some tasks."""
    x, y = data(plain)
    weights = {"b": np.linspace(0.0, 1.0, N)}
    lists = {name: list(labels) for name, labels in y.items()}
    whole = plain.evaluate(x, y, batch_size=N, sample_weight=weights, verbose=0)
    assert plain.evaluate(batches(x, lists, weights), steps=1, verbose=0) == pytest.approx(whole, rel=1e-6)


WEIGHT_SHAPES = {
    "one too many": ((N, 3), "(None, 3)", "(None,)"),
    "of another axis": ((N, 1, 2), "(None, 1, 2)", "(None,)"),
    "for all": ((), "()", "(8,)"),
}


@pytest.mark.parametrize("case", WEIGHT_SHAPES)
def test_shapes_of_sample_weights_in_a_dataset(plain, case):
    """TensorFlow would spread them over the labels, or say nothing of the task."""
    shape, weights, labels = WEIGHT_SHAPES[case]
    x, y = data(plain)
    given = (x, y, {"b": np.ones(shape, "float32")})
    batch = tf.data.Dataset.from_tensors(given) if shape == () else tiny.dataset(x, y, weights=given[2])
    tiny.refused(
        lambda: plain.fit(batch, verbose=0),
        "Expected one sample weight for each example or label of task 'b'. "
        f"Received: weights_shape={weights}, labels_shape={labels}. Do correct the shape.",
    )


def test_what_a_dataset_says_nothing_of(plain):
    """Of any shape at all, not in batches, texts as weights."""
    x, y = data(plain)
    unknown = "a", tf.TensorSpec(None, tf.float32)
    for what, spec in (("labels", (dict([unknown]),)), ("sample weights", ({}, dict([unknown])))):
        specs = {name: tf.TensorSpec([None], labels.dtype) for name, labels in y.items()} | spec[0]
        element = (tf.TensorSpec([None, 8, 8, 1]), specs, *spec[1:])
        shapeless = tf.data.Dataset.from_generator(lambda: iter(()), output_signature=element)
        tiny.refused(
            lambda shapeless=shapeless: plain.fit(shapeless, verbose=0),
            f"Expected {what} of task 'a' whose number of axes is known. Received: shape=None. Do set it with "
            "tf.ensure_shape in the dataset's map, or call compile again before data of another form.",
        )
    tiny.refused(
        lambda: plain.fit(tf.data.Dataset.from_tensor_slices((x, y)), verbose=0),
        "Expected batches, with an axis of examples in the labels of task 'a'. Received: shape=(). "
        "Do add .batch(32) to the dataset.",
    )
    tiny.refused(
        lambda: plain.fit(tiny.dataset(x, y, weights={"b": np.array(["much"] * N)}), verbose=0),
        WEIGHTS.format("dtype='string'"),
    )


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("number", [1, 5])
def test_batches_with_fewer_labels_or_weights_than_examples(plain, number, known):
    """One would serve for all."""
    x, y = data(plain)
    weights = {"a": np.ones(N, "float32")}
    short = {"labels": (x, {**y, "b": y["b"][:number]}, weights), "weights": (x, y, {"a": weights["a"][:number]})}
    for what, batch in short.items():
        if known and what == "weights":
            continue  # a matter of the spec
        dataset = tf.data.Dataset.from_tensors(batch)
        if not known:
            of_any_size = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), batch)
            dataset = tf.data.Dataset.from_generator(lambda batch=batch: iter([batch]), output_signature=of_any_size)
        expected = "8 labels for task 'b'" if what == "labels" else "8 sample weights for task 'a'"
        tiny.refused(
            lambda dataset=dataset: plain.evaluate(dataset, verbose=0),
            f"Expected {expected}, one per example. Received: {what}={number}. Do check both.",
        )


SHAPES = {
    "a": ((N, 5), "() or (1,)"),  # one-hot, where the loss takes ids
    "b": ((N, 3), "() or (1,)"),
    "d": ((N, 1, 1), "() or (1,)"),
}


@pytest.mark.parametrize("task", SHAPES)
def test_shapes_that_would_be_compared_with_the_wrong_outputs(plain, task):
    shape, allowed = SHAPES[task]
    x, y = data(plain, task, np.zeros(shape, "float32"))
    tiny.refused(lambda: plain.fit(x, y, verbose=0), SHAPE.format(task, allowed, shape))
    batch = (None, *shape[1:])
    tiny.refused(lambda: plain.fit(tiny.dataset(x, y), verbose=0), SHAPE.format(task, allowed, batch))


def test_what_labels_may_be(plain, headed):
    """Class probabilities are no ids; ids as [B, 1] and as whole numbers, bools, weights [B, 1] are all the same."""
    x, ids = data(headed)
    one_hot = {**ids, "a": np.eye(5, dtype="float32")[ids["a"].astype(int)]}
    columns = {**ids, "a": ids["a"][:, None]}
    weights = np.linspace(0.0, 1.0, N, dtype="float32")
    per_label = {"a": weights, "b": np.stack([weights] * 3, axis=1)}
    one, *others = [  # one after the other: Keras would relax the shapes that steps are traced with to fit all
        headed.evaluate(x, y, sample_weight=given, verbose=0)
        for y, given in ((ids, weights), (one_hot, weights), (columns, weights[:, None]), (ids, per_label))
    ]
    np.testing.assert_allclose(others, [one] * 3, rtol=1e-6)
    x, y = data(plain)
    same = {**y, "a": y["a"][:, None].astype("uint8"), "b": y["b"][:, None], "d": y["d"] > 0.5}
    weights = np.linspace(0.0, 1.0, N, dtype="float32")
    one = plain.evaluate(x, y, sample_weight=weights, verbose=0)
    np.testing.assert_allclose(plain.evaluate(x, same, sample_weight=weights[:, None], verbose=0), one, rtol=1e-6)


def test_class_ids_in_a_type_that_holds_not_all_of_them():
    """299 as a byte would be 43."""
    _, outputs = tiny.graph()
    plan = plan_task(mtl.Task("a", mtl.heads.Classifier(300)), outputs["a"], "auto", None, None, None)
    batch_checks.assert_none_is_bad(batch_checks.in_range([plan], tf.constant([0, 250], tf.uint8)))
    label_checks.check_array(plan, np.array([0, 250], "uint8"), None, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="from 0 to 299"):
        batch_checks.assert_none_is_bad(batch_checks.in_range([plan], tf.constant([0, 301], tf.int16)))


def test_a_loss_of_ones_own_takes_labels_of_any_shape():
    model = tiny.model()
    model.compile("sgd", loss={"b": lambda y, p: keras.ops.sum(y, axis=-1) * p[:, 0]})
    x, _ = tiny.arrays(N)
    model.fit(x, {"b": np.ones((N, 3))}, verbose=0)


@pytest.mark.parametrize("weights", [{"x": 1.0}, {0: "much"}, {1.5: 1.0}, {0: -1.0}])
def test_class_weights_that_cannot_be(weights):
    (label, weight), *_ = weights.items()
    tiny.refused(
        lambda: mtl.Task("a", class_weight=weights),
        "Expected class ids from 0 and finite weights of at least 0 for task 'a'. "
        f"Received: label={label!r}, weight={weight!r}. Do correct the entry.",
    )


@pytest.mark.parametrize("outputs", ["dict", "list"])
def test_outputs_within_outputs(outputs):
    x, y = tiny.graph()
    inner = {"b": y["b"]} if outputs == "dict" else [y["b"]]
    tiny.refused(
        lambda: mtl.MultiTaskModel(x, {"a": y["a"], "b": inner}),
        "Expected one Keras tensor as the output of every task. "
        f"Received: task='b', output={outputs!r}. Do give each tensor a task name of its own.",
    )
