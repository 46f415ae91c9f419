"""Two and four replicas train, evaluate and predict as one device does, whatever the batches' sizes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl
from mtl_keras.callbacks.now_known import now_known
from mtl_keras.distribute.replicated_model import BUILDS_FROM_DATA, SeenByKeras

ONE = tf.distribute.get_strategy()
TWO, FOUR = tiny.replicas(2), tiny.replicas(4)


def model(strategy):
    """Everything whose sums have to be over all replicas: activities, normalization, clipping, weights, metrics."""
    with strategy.scope():
        x, outputs = tiny.graph(regularizer=keras.regularizers.L2(0.01))
        made = mtl.MultiTaskModel({"image": x}, outputs)
        made.get_layer("dense").activity_regularizer = keras.regularizers.L2(0.05)
    made.compile(
        keras.optimizers.Adam(0.01, epsilon=1e-3, global_clipnorm=0.5),
        loss=tiny.LOSSES,
        loss_weights={"a": 0.5},
        metrics={"a": ["accuracy"], "b": ["mae"]},
        weighted_metrics={"b": ["mse"]},
        class_weight={"a": {0: 3.0}},
        weighting="uncertainty",
    )
    return made


def data(n, batch_size, seed=0):
    """Batches with labels missing unevenly, sample weights, and what the model does not read beside its input."""
    x, y = tiny.arrays(n, seed=seed)
    y["a"][: n // 4] = -1
    y["b"][n // 2 :] = np.nan
    weights = {"b": np.linspace(0.0, 2.0, n, dtype="float32")}
    # before and after "image" in the order of keys: Keras takes inputs by position
    words = tf.ragged.constant([["word"] * (i % 3) for i in range(n)])
    flags = tf.sparse.from_dense(np.eye(n, dtype="float32"))
    beside = {"aside": -x, "flags": flags, "image": x, "name": np.array([f"{i}.png" for i in range(n)]), "words": words}
    return tiny.dataset(beside, y, batch_size, weights)


def acting():
    """Callbacks that find no improvement enough: `b` fades out and stops, the rate falls."""
    return [
        mtl.callbacks.Schedule({"b": {0: 1.5, 1: 0.5}}),
        mtl.callbacks.ReduceOnPlateau("a", patience=1, min_delta=100.0, factor=0.5),
        mtl.callbacks.TaskEarlyStopping(["b"], patience=1, min_delta=100.0),
    ]


def test_two_replicas_equal_one_device():
    """Weights and logs after batches of 16 and of 1, of 9 and of 3; evaluations and predictions of any number.

    In the second training callbacks change the tasks' weights, stop a task and lower the learning rate.
    """
    x, y = tiny.arrays(5)
    made, logs, predicted = [], [], []
    for strategy in (ONE, TWO):
        one = model(strategy)
        seen = [one.fit(data(33, 16), epochs=2, validation_data=data(19, 16), verbose=0).history]
        callbacks = acting()
        second = one.fit(data(21, 9), epochs=3, validation_data=data(5, 2), callbacks=callbacks, verbose=0).history
        assert callbacks[-1].stopped == {"b": 1}
        assert second["b_weight"][0] > second["b_weight"][1] > second["b_weight"][2] == 0.0
        assert float(keras.ops.convert_to_numpy(one.optimizer.learning_rate)) == pytest.approx(0.01 * 0.5 * 0.5)
        seen += [second, one.evaluate(data(3, 2), return_dict=True, verbose=0)]
        assert int(keras.ops.convert_to_numpy(one.optimizer.iterations)) == 15
        seen.append(one.train_on_batch({"image": x}, y, return_dict=True))
        made.append(one)
        logs.append(seen)
        predicted.append([one.predict({"image": x[:n]}, batch_size=4, verbose=0) for n in (1, 5)])
    assert tiny.difference(*made) < 1e-6
    variances = [one.weighting.log_variances.numpy() for one in made]
    np.testing.assert_allclose(*variances, atol=1e-6)
    for first, second in zip(*logs, strict=True):
        assert list(first) == list(second)
        for key in first:
            np.testing.assert_allclose(second[key], first[key], rtol=1e-5, atol=1e-6, err_msg=key)
    for first, second in zip(*predicted, strict=True):
        for task in first:
            assert second[task].shape == first[task].shape
            np.testing.assert_allclose(second[task], first[task], atol=1e-6)


class InBetween(keras.callbacks.Callback):
    """Keeps what `Progress` and `TaskBoard` show after each batch."""

    def __init__(self):
        super().__init__()
        self.logs = []

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append([float(value) for value in now_known(self.model, logs).values()])


def test_four_replicas_of_which_some_are_left_without_an_example():
    """Batches of 9 and of 3, evaluation of 1."""
    x, y = tiny.arrays(21)
    single = x[:1], {task: v[:1] for task, v in y.items()}
    made = []
    for strategy in (ONE, FOUR):
        with strategy.scope():
            one = tiny.model()
        one.compile(keras.optimizers.SGD(0.05), loss=tiny.LOSSES, metrics={"a": ["accuracy"], "b": ["mae"]})
        seen = InBetween()
        logs = one.fit(tiny.dataset(x, y, 9), epochs=2, verbose=0, callbacks=[seen]).history
        made.append((one, logs, [one.evaluate(*single, verbose=0), *seen.logs]))
    (first, logs, evaluated), (second, other_logs, other_evaluated) = made
    assert tiny.difference(first, second) < 1e-6
    np.testing.assert_allclose(list(other_logs.values()), list(logs.values()), rtol=1e-5)
    for one_device, four in zip(evaluated, other_evaluated, strict=True):
        np.testing.assert_allclose(four, one_device, rtol=1e-5)


def test_synchronized_normalization_and_gradient_methods_equal_one_device():
    """A Gramian at the cut over uneven shares; and datasets of unknown length, which end in the middle of a step."""
    made = []
    for strategy in (ONE, TWO):
        with strategy.scope():
            keras.utils.set_random_seed(3)
            x = keras.Input((8, 8, 1))
            h = keras.layers.Dense(6, name="dense")(keras.layers.Flatten(name="flat")(x))
            h = keras.layers.BatchNormalization(synchronized=True, name="norm")(h)
            outputs = {"a": keras.layers.Dense(5, "softmax", name="a")(h), "b": keras.layers.Dense(1, name="b")(h)}
            one = mtl.MultiTaskModel(x, outputs)
        one.compile(keras.optimizers.SGD(0.05), loss=tiny.LOSSES, weighting="test_unit_norm", scope="features")
        history = one.fit(tiny.dataset(*tiny.arrays(21)).filter(lambda *_: True), epochs=2, verbose=0).history
        made.append((one, history, int(keras.ops.convert_to_numpy(one.optimizer.iterations))))
    (first, logs, steps), (second, other_logs, other_steps) = made
    assert tiny.difference(first, second) < 1e-6
    assert steps == other_steps == 4
    for key in logs:
        np.testing.assert_allclose(other_logs[key], logs[key], rtol=1e-5, err_msg=key)


def test_batches_that_are_distributed_already_are_not_cut_again():
    x, y = tiny.arrays(16)
    made = []
    for strategy in (ONE, TWO):
        with strategy.scope():
            one = tiny.model()
        one.compile(keras.optimizers.SGD(0.05), loss=tiny.LOSSES)
        batches = tiny.dataset(x, y, 8)
        one.fit(batches if strategy is ONE else TWO.experimental_distribute_dataset(batches), verbose=0)
        made.append(one)
    assert tiny.difference(*made) < 1e-6


def test_keras_still_works_as_replicated_model_expects():
    """The private name is there and takes these arguments; Keras hands data to the strategy that the model shows."""
    assert callable(getattr(keras.Model, BUILDS_FROM_DATA))
    with TWO.scope():
        made = tiny.model()
    seen = made.distribute_strategy
    assert isinstance(seen, SeenByKeras)
    assert seen.num_replicas_in_sync == 2
    made.compile("sgd", loss=tiny.LOSSES)
    called = []
    made._maybe_symbolic_build = lambda iterator=None, data_batch=None: called.append("build")
    SeenByKeras.experimental_distribute_dataset, kept = (
        lambda self, dataset, options=None: called.append("data") or dataset,
        SeenByKeras.experimental_distribute_dataset,
    )
    try:
        made.predict(tiny.arrays(4)[0], verbose=0)
        with pytest.raises(ZeroDivisionError):
            made.fit(*tiny.arrays(4), verbose=0, callbacks=[_Stop()])
    finally:
        SeenByKeras.experimental_distribute_dataset = kept
    assert called == ["data", "data", "build"]


class _Stop(keras.callbacks.Callback):
    """Ends training before a step is traced."""

    def on_train_begin(self, logs=None):
        raise ZeroDivisionError


def refused(text, make=tiny.model, **kwargs):
    with TWO.scope():
        made = make()
    with pytest.raises(ValueError, match="Expected") as error:
        made.compile(**{"optimizer": "sgd", "loss": tiny.LOSSES, **kwargs})
    assert str(error.value) == text


def test_what_several_replicas_cannot_do():
    elsewhere = tiny.model()
    refused(
        "Expected no jit_compile on 2 replicas (XLA cannot reach the other devices' variables). "
        'Received: jit_compile=True. Do leave it at "auto".',
        jit_compile=True,
    )
    refused(
        "Expected one step per execution on 2 replicas (sums over replicas fail inside Keras' loop). "
        "Received: steps_per_execution=4. Do leave it at 1.",
        steps_per_execution=4,
    )
    refused(
        "Expected no accumulation in the optimizer on 2 replicas (it would update inside a condition). Received: "
        "gradient_accumulation_steps=4. Do pass compile(micro_batches=...) and larger batches: the same update.",
        optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=4),
    )
    refused(
        "Expected no ema_overwrite_frequency on 2 replicas (weights would be set inside a condition). Received: "
        "ema_overwrite_frequency=3. Do leave it out, and pass keras.callbacks.SwapEMAWeights to fit.",
        optimizer=mtl.optimizers.per_task(
            "sgd", {"a": keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3)}
        ),
    )
    refused(
        "Expected no clipping in one part of an optimizer on several replicas (part 'a'). Received: clipnorm=1.0. "
        "Do pass optimizers.per_task(..., global_clipnorm=...), which sees all parts and replicas.",
        optimizer=mtl.optimizers.per_task("sgd", {"a": keras.optimizers.SGD(0.1, clipnorm=1.0)}),
    )

    compiled = tiny.model()
    compiled.compile("sgd", loss=tiny.LOSSES)
    with TWO.scope():
        for call in (
            lambda: elsewhere.compile("sgd", loss=tiny.LOSSES),
            lambda: compiled.fit(*tiny.arrays(4), verbose=0),
        ):
            tiny.refused(
                call,
                "Expected a model that was made, or loaded, in the scope of this strategy. Received: "
                "strategy='MirroredStrategy', made_elsewhere='conv/kernel'. "
                "Do put what makes the model into the same `with strategy.scope():`.",
            )

    def mixed_up():
        made = tiny.model(batch_norm=True)
        made.get_layer("norm").synchronized = True
        made.get_layer("dense").activity_regularizer = keras.regularizers.L2(0.1)
        return made

    refused(
        "Expected no activity regularizer beside synchronized normalization on 2 replicas (Keras mixes up the "
        "replicas' activities). Received: regularized=['dense'], synchronized=['norm']. Do remove one of them.",
        make=mixed_up,
    )


@pytest.mark.parametrize("clip", [{"clipnorm": 0.05}, {"clipvalue": 0.002}, {"global_clipnorm": 0.05}], ids=str)
def test_clipping_sees_the_whole_gradient(clip):
    """That of an embedding too, which is sparse: row by row of each example, as in Keras."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 5, (7, 4)).astype("int32")
    labels = {"a": rng.integers(0, 3, 7), "b": rng.normal(size=7).astype("float32")}
    made = []
    for strategy in (ONE, TWO):
        keras.utils.set_random_seed(3)
        with strategy.scope():
            x = keras.Input((4,), dtype="int32")
            h = keras.layers.Flatten(name="flat")(keras.layers.Embedding(5, 2, name="words")(x))
            h = keras.layers.Dense(3, name="dense")(h)
            a = keras.layers.Dense(3, "softmax", name="a")(h)
            one = mtl.MultiTaskModel(x, {"a": a, "b": keras.layers.Dense(1, name="b")(h)})
        one.compile(keras.optimizers.SGD(0.5, **clip), loss=tiny.LOSSES)
        one.fit(tiny.dataset(words, labels), epochs=2, verbose=0)
        made.append(one)
    assert tiny.difference(*made) < 1e-6
