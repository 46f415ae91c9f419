"""What every registered head keeps, whatever its kind."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from mtl_keras import heads
from mtl_keras.errors import message

NAMES = heads.names()


@pytest.fixture
def example(request, examples):
    return examples[request.param]


every_head = pytest.mark.parametrize("example", NAMES, indirect=True)


def _model(head, shape=(6,), task="task"):
    inputs = keras.Input(shape, name="features")
    return keras.Model(inputs, {task: head(inputs, task)})


def _loss_input(model, task="task"):
    """What the task's last layer reads: the tensor that the loss works on."""
    return keras.Model(model.input, model.get_layer(task).input)


def _features(count=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 6)).astype("float32")


def test_every_head_has_an_example(examples):
    assert sorted(examples) == NAMES


@every_head
def test_config_is_plain_json_and_makes_the_same_head(example):
    config = example.head.get_config()
    assert json.loads(json.dumps(config)) == config
    again = heads.get(keras.saving.serialize_keras_object(example.head))
    assert type(again) is type(example.head)
    assert again.get_config() == config
    assert config["hidden"] == [8]
    assert config["kernel_regularizer"]["config"] == {"l2": 0.01}


@every_head
def test_description_is_plain_json_and_has_the_output_shape(example):
    described = example.head.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["kind"] == example.head.kind
    assert described["shape"] == [example.size]
    assert _model(example.head).output["task"].shape == (None, example.size)
    for per_value in ("labels", "units", "thresholds", "mean", "std"):
        assert len(described.get(per_value, described["shape"] * example.size)) == example.size


@every_head
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_output_and_what_the_loss_reads_are_float32(example, policy):
    keras.config.set_dtype_policy(policy)
    model = _model(example.head)
    assert model.get_layer("task_hidden1").compute_dtype == policy.removeprefix("mixed_")
    assert model.get_layer("task").output is model.output["task"]
    assert model.output["task"].dtype == "float32"
    assert model.get_layer("task").input.dtype == "float32"
    for batch in (1, 3):
        output = model(_features(batch))["task"]
        assert output.dtype == tf.float32
        assert output.shape == (batch, example.size)


@every_head
def test_maps_are_averaged_over_height_and_width(example):
    maps = np.random.default_rng(1).normal(size=(2, 3, 5, 6)).astype("float32")
    pooled = _model(example.head, shape=(3, 5, 6))
    plain = _model(example.head)
    plain.set_weights(pooled.get_weights())
    np.testing.assert_allclose(pooled(maps)["task"], plain(maps.mean(axis=(1, 2)))["task"], rtol=1e-5)


@every_head
def test_sequences_are_refused(example):
    with pytest.raises(ValueError, match="Expected") as error:
        _model(example.head, shape=(5, 6))
    assert str(error.value) == message(
        "features of shape [B, F] or [B, H, W, C] for task 'task'",
        "flatten or pool them before the head",
        shape=(None, 5, 6),
    )


@every_head
def test_one_instance_serves_several_tasks(example):
    inputs = keras.Input((6,))
    model = keras.Model(inputs, {task: example.head(inputs, task) for task in ("first", "second")})
    paths = [variable.path for variable in model.trainable_variables]
    assert len(set(paths)) == len(paths) == 2 * len(_model(example.head).trainable_variables)
    assert all(path.startswith(("first_", "second_")) for path in paths)
    outputs = model(_features())
    assert not np.allclose(outputs["first"], outputs["second"])


@every_head
def test_graph_comes_back_from_a_file(example, tmp_path):
    model = _model(example.head)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(_features())["task"], again(_features())["task"])
    np.testing.assert_array_equal(_loss_input(model)(_features()), _loss_input(again)(_features()))
    # both kernels of the head are regularized, before and after
    assert len(model.losses) == len(again.losses) == 2
    np.testing.assert_allclose([float(v) for v in again.losses], [float(v) for v in model.losses])


@every_head
def test_loss_gives_one_value_per_label_in_eager_graph_and_xla(example):
    loss = example.head.loss()
    read = _loss_input(_model(example.head))(_features())

    def values(labels, read):
        return loss.call(example.head.loss_target(labels), read)

    eager = values(example.labels, read)
    assert eager.dtype == tf.float32
    assert eager.shape == example.labels.shape
    assert np.all(np.isfinite(eager))
    assert np.all(eager.numpy() >= 0)
    np.testing.assert_allclose(tf.function(values)(example.labels, read), eager, rtol=1e-6)
    np.testing.assert_allclose(tf.function(values, jit_compile=True)(example.labels, read), eager, rtol=1e-5)
    # an example's loss does not depend on the others
    np.testing.assert_allclose(values(example.labels[1:2], read[1:2]), eager[1:2], rtol=1e-6)


@every_head
@pytest.mark.parametrize("size", [-100.0, 0.0, 100.0])
def test_loss_and_gradient_are_finite_at_large_inputs(example, size):
    head = example.head
    width = _loss_input(_model(head)).output.shape[-1]
    # apart from one another, as cumulative logits are
    read = tf.fill([4, width], size) - tf.range(width, dtype=tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(read)
        values = head.loss().call(head.loss_target(example.labels), read)
        total = tf.reduce_sum(values)
    gradient = tape.gradient(total, read)
    assert np.all(np.isfinite(values))
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient != 0)


@every_head
def test_loss_object_comes_back_from_its_config(example):
    loss = example.head.loss()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


@every_head
def test_deciding_metric_comes_first_and_all_are_new_each_time(example):
    metrics = example.head.metrics()
    name, direction = example.head.best
    assert metrics[0].name == name
    assert direction in ("min", "max")
    assert len({metric.name for metric in metrics}) == len(metrics)
    assert not {id(metric) for metric in metrics} & {id(metric) for metric in example.head.metrics()}


@every_head
def test_perfect_predictions_are_the_best_value(example):
    head = example.head
    labels = example.labels
    perfect = tf.one_hot(labels, example.size) if labels.ndim == 1 else labels.astype("float32")
    for metric in head.metrics():
        is_error = metric.name in ("mae", "rmse")
        metric.update_state(labels, perfect)
        assert float(metric.result()) == (0.0 if is_error else 1.0)
        metric.update_state(labels, tf.reverse(perfect, [0]))
        assert float(metric.result()) > 0.0 if is_error else float(metric.result()) < 1.0


@every_head
def test_metrics_add_up_over_partial_batches(example):
    output = _model(example.head)(_features())["task"]
    for whole, parts in zip(example.head.metrics(), example.head.metrics(), strict=True):
        assert float(whole.result()) == 0.0
        whole.update_state(example.labels, output)
        for part in (slice(0, 3), slice(3, 4)):
            parts.update_state(example.labels[part], output[part])
        np.testing.assert_allclose(whole.result(), parts.result(), rtol=1e-6)
        parts.reset_state()
        assert all(not np.any(variable.numpy()) for variable in parts.variables)
        assert float(parts.result()) == 0.0


@every_head
@pytest.mark.parametrize("way", ["missing label", "weight 0 per example", "weight 0 per element", "both"])
def test_a_missing_label_changes_no_metric(example, way):
    output = _model(example.head)(_features())["task"]
    kept = [0, 2, 3]
    labels = example.labels if "weight" in way else example.with_missing
    weights = None
    if way != "missing label":
        per_element = way == "weight 0 per element"
        weights = np.ones(example.labels.shape if per_element else (4,), "float32")
        weights[1] = 0.0
    for metric, expected in zip(example.head.metrics(), example.head.metrics(), strict=True):
        metric.update_state(labels, output, sample_weight=weights)
        expected.update_state(example.labels[kept], tf.gather(output, kept))
        np.testing.assert_allclose(metric.result(), expected.result(), rtol=1e-6)


@every_head
def test_a_weight_of_two_counts_twice(example):
    output = _model(example.head)(_features())["task"]
    twice = [0, 0, 1, 2, 3]
    for metric, expected in zip(example.head.metrics(), example.head.metrics(), strict=True):
        metric.update_state(example.labels, output, sample_weight=[2.0, 1.0, 1.0, 1.0])
        expected.update_state(example.labels[twice], tf.gather(output, twice))
        np.testing.assert_allclose(metric.result(), expected.result(), rtol=1e-6)


@every_head
def test_metrics_come_back_from_their_config(example):
    output = _model(example.head)(_features())["task"]
    for metric in example.head.metrics():
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
        assert again.get_config() == metric.get_config()
        for one in (metric, again):
            one.update_state(example.labels, output)
        assert float(again.result()) == float(metric.result())


@every_head
@pytest.mark.parametrize("jit", [False, True])
def test_metrics_work_in_a_compiled_function(example, jit):
    output = _model(example.head)(_features())["task"]
    expected, compiled = example.head.metrics(), example.head.metrics()

    @tf.function(jit_compile=jit)
    def update(labels, output):
        for metric in compiled:
            metric.update_state(labels, output)

    update(example.with_missing, output)
    for one, other in zip(expected, compiled, strict=True):
        one.update_state(example.with_missing, output)
        np.testing.assert_allclose(other.result(), one.result(), rtol=1e-6)


@every_head
def test_metrics_of_two_replicas_add_up(example):
    output = _model(example.head)(_features())["task"]
    strategy = tiny.replicas(2)
    with strategy.scope():
        replicated = example.head.metrics()
    # three examples on one replica, one on the other
    parts = [(example.labels[part], output[part]) for part in (slice(0, 3), slice(3, 4))]

    def update(part):
        for metric in replicated:
            metric.update_state(*part)

    def values(context):
        return parts[context.replica_id_in_sync_group]

    strategy.run(update, args=(strategy.experimental_distribute_values_from_function(values),))
    for metric, expected in zip(replicated, example.head.metrics(), strict=True):
        expected.update_state(example.labels, output)
        np.testing.assert_allclose(metric.result(), expected.result(), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"hidden": (64, 0)},
            "Expected whole numbers of hidden units, each at least 1. Received: hidden=(64, 0). Do pass (64,).",
        ),
        (
            {"hidden": [2.5]},
            "Expected whole numbers of hidden units, each at least 1. Received: hidden=[2.5]. Do pass (64,).",
        ),
        ({"dropout": 1.0}, "Expected dropout of at least 0 and below 1. Received: dropout=1.0. Do correct it."),
        ({"dropout": -0.1}, "Expected dropout of at least 0 and below 1. Received: dropout=-0.1. Do correct it."),
    ],
)
@every_head
def test_bad_layers_are_refused(example, arguments, text):
    config = {**example.head.get_config(), **arguments}
    with pytest.raises(ValueError, match="Expected") as error:
        type(example.head)(**config)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (
            lambda: heads.Classifier(),
            "Expected num_classes of at least 2, or labels. Received: num_classes=None. "
            "Do pass num_classes=3 or labels=[...].",
        ),
        (
            lambda: heads.Classifier(1),
            "Expected num_classes of at least 2, or labels. Received: num_classes=1. "
            "Do pass num_classes=3 or labels=[...].",
        ),
        (
            lambda: heads.Ordinal(2.0),
            "Expected num_classes of at least 2, or labels. Received: num_classes=2.0. "
            "Do pass num_classes=3 or labels=[...].",
        ),
        (
            lambda: heads.MultiLabel(0),
            "Expected num_labels of at least 1, or labels. Received: num_labels=0. "
            "Do pass num_labels=3 or labels=[...].",
        ),
        (
            lambda: heads.Classifier(3, labels=["a", "b"]),
            "Expected as many labels as num_classes says. Received: num_classes=3, labels=['a', 'b']. "
            "Do pass labels only.",
        ),
        (
            lambda: heads.Classifier(labels=["a", "a"]),
            "Expected at least 2 label names, no two alike. Received: labels=['a', 'a']. Do pass a list of texts.",
        ),
        (
            lambda: heads.Ordinal(labels="abc"),
            "Expected at least 2 label names, no two alike. Received: labels=['abc']. Do pass a list of texts.",
        ),
        (
            lambda: heads.MultiLabel(labels=["a", ""]),
            "Expected at least 1 label names, no two alike. Received: labels=['a', '']. Do pass a list of texts.",
        ),
    ],
)
def test_bad_label_names_are_refused(build, text):
    with pytest.raises(ValueError, match="Expected") as error:
        build()
    assert str(error.value) == text
