"""An optimizer for each task: who moves what, and that nothing else changes."""

import keras
import numpy as np
import pytest
import tiny

import mtl_keras as mtl
from mtl_keras.optimizers import per_task
from mtl_keras.training.slots import optimizer_slots, parts_of

SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam


def compiled(optimizer, loss=tiny.LOSSES, regularizer=None, dropout=0.0, **kwargs):
    model = tiny.model(regularizer=regularizer, dropout=dropout)
    model.compile(optimizer, loss=loss, **kwargs)
    return model


def trained(optimizer, epochs=1, data=None, **kwargs):
    model = compiled(optimizer, **kwargs)
    model.fit(tiny.dataset(*tiny.arrays(40)) if data is None else data, epochs=epochs, verbose=0)
    return model


def rates(model):
    return {part: float(np.asarray(o.learning_rate)) for part, o in parts_of(model.optimizer).items()}


def values(model, *layers):
    return np.concatenate([v.numpy().ravel() for name in layers for v in model.get_layer(name).trainable_variables])


def refused(call, text):
    with pytest.raises(ValueError, match="Expected") as error:
        call()
    assert str(error.value) == text


def test_alike_parts_train_as_one_optimizer():
    one = trained(SGD(0.05, momentum=0.9), epochs=2)
    parts = trained(per_task(SGD(0.05, momentum=0.9), {"a": SGD(0.05, momentum=0.9)}), epochs=2)
    assert tiny.difference(one, parts) == 0.0


@pytest.mark.parametrize("weighting", ["equal", "uncertainty", "pcgrad", "test_row_sum"])
def test_each_part_moves_its_own_variables(weighting):
    """Rates of 0 hold still whom they belong to: the trunk, a task, and what the weighting trains."""
    start = compiled("sgd")
    for still, layers in (("shared", ("conv", "dense", "b")), ("a", ("a",))):
        rate = {"shared": 0.05, "a": 0.05, still: 0.0}
        model = trained(per_task(SGD(rate["shared"]), {"a": SGD(rate["a"])}, weighting=SGD(0.5)), weighting=weighting)
        for layer in ("conv", "dense", "a", "b"):
            moved = (values(model, layer) != values(start, layer)).any()
            assert moved == (layer not in layers), (still, layer)
        if weighting == "uncertainty":
            assert np.abs(model.weighting.log_variances.numpy()).max() > 0.1


def test_a_task_without_a_loss_does_not_fail_the_step():
    model = trained(per_task("adam", {"a": SGD(0.1), "b": SGD(0.1)}), loss={"a": tiny.LOSSES["a"]})
    assert {part: int(o.iterations.numpy()) for part, o in model.optimizer.parts.items()} == {
        "shared": 3,
        "a": 3,
        "b": 0,
    }
    assert int(model.optimizer.iterations.numpy()) == 3


@pytest.mark.parametrize("weighting", ["equal", "test_unit_weights"])
def test_an_absent_task_holds_its_optimizer(weighting):
    """Head, momentum, step count and so the schedule of a task stay as they are in batches without its labels."""
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    optimizer = per_task(Adam(0.01), {"b": keras.optimizers.AdamW(decay, weight_decay=0.1)}, l2={"b": 0.1})
    x, y = tiny.arrays(32)
    model = trained(optimizer, data=tiny.dataset(x, y), weighting=weighting)
    assert rates(model) == pytest.approx({"shared": 0.01, "b": 0.1 * 0.5**2})

    def state():
        own = {v.path: v.numpy() for v in model.get_layer("b").variables}
        slots = optimizer_slots(model.optimizer, model.trainable_variables)
        return own | {f"{slot.kind} of {slot.owner}": slot.variable.numpy() for slot in slots if slot.part == "b"}

    before = state()
    assert set(before) == {
        "b/kernel", "b/bias", "iteration of None", "momentum of b/kernel", "momentum of b/bias",
        "velocity of b/kernel", "velocity of b/bias",
    }  # fmt: skip
    half = {"a": y["a"], "b": np.where(np.arange(32) < 16, np.nan, y["b"])}
    model.fit(tiny.dataset(x[:16], {name: label[:16] for name, label in half.items()}), verbose=0)
    assert all((state()[key] == value).all() for key, value in before.items())
    model.fit(tiny.dataset(x, half), verbose=0)
    after = state()
    assert all((after[key] != value).any() for key, value in before.items())
    assert after["iteration of None"] == before["iteration of None"] + 1
    assert int(model.optimizer.parts["shared"].iterations.numpy()) == 5


def test_clipping_sees_all_gradients():
    """Parts that clip alone would scale each by its own norm; together they do what one optimizer does."""
    one = trained(Adam(0.01, global_clipnorm=0.05, epsilon=1e-3), epochs=2)
    parts = per_task(Adam(0.01, epsilon=1e-3), {"a": Adam(0.01, epsilon=1e-3)}, global_clipnorm=0.05)
    assert tiny.difference(one, trained(parts, epochs=2)) < 1e-7
    free = per_task(Adam(0.01, epsilon=1e-3), {"a": Adam(0.01, epsilon=1e-3)})
    assert tiny.difference(one, trained(free, epochs=2)) > 1e-3


def test_penalties_are_those_of_keras_regularizers():
    one = trained(SGD(0.05), epochs=2, regularizer=keras.regularizers.L1L2(0.01, 0.02))
    both = {"shared": 0.01, "a": 0.01}, {"shared": 0.02, "a": 0.02}  # head b has no regularizer in this graph
    parts = trained(per_task(SGD(0.05), l1=both[0], l2=both[1]), epochs=2)
    assert tiny.difference(one, parts) < 1e-7


def test_two_replicas_are_one_device():
    """Clipping and penalties too, with batches that fall to the replicas unevenly in labels."""
    x, y = tiny.arrays(32)
    y["b"][3:24] = np.nan

    def made():
        optimizer = per_task(
            tiny.forgiving_adam(), {"b": SGD(0.05, momentum=0.9)}, global_clipnorm=0.1, l2={"shared": 0.1, "b": 0.1}
        )
        model = compiled(optimizer, weighting="uncertainty")
        model.fit(tiny.dataset(x, y), epochs=2, verbose=0)
        return model

    one = made()
    with tiny.replicas(2).scope():
        two = made()
    assert tiny.difference(one, two) < 1e-6
    np.testing.assert_allclose(one.weighting.log_variances, two.weighting.log_variances, atol=1e-6)


@pytest.mark.parametrize("weighting", ["equal", "test_unit_weights"])
def test_float16_gradients_reach_the_parts_unscaled(weighting):
    def made():
        return per_task(SGD(0.05), {"a": SGD(0.1)}, global_clipnorm=0.5, l2={"a": 0.1})

    start, reference = compiled("sgd"), trained(made(), weighting=weighting)
    keras.config.set_dtype_policy("mixed_float16")
    # a scale at which nothing overflows, so that no step is left out
    half = trained(keras.optimizers.LossScaleOptimizer(made(), initial_scale=128.0), weighting=weighting)
    assert list(parts_of(half.optimizer)) == ["shared", "a"]
    for layer in ("conv", "a", "b"):
        wanted = values(reference, layer) - values(start, layer)
        assert np.linalg.norm(values(half, layer) - values(reference, layer)) < 0.02 * np.linalg.norm(wanted)
    assert isinstance(compiled(made()).optimizer, keras.optimizers.LossScaleOptimizer)


def test_a_loaded_model_goes_on_with_every_part(tmp_path):
    def schedule():
        return mtl.optimizers.WarmUp(keras.optimizers.schedules.CosineDecay(0.05, 10), steps=4)

    optimizer = per_task(Adam(0.01), {"a": SGD(schedule(), momentum=0.9)}, "sgd", l1={"a": 0.1}, global_clipnorm=2.0)
    model = trained(optimizer, weighting="uncertainty")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, loaded):
        one.fit(tiny.dataset(*tiny.arrays(40)), epochs=2, verbose=0)
    assert tiny.difference(model, loaded) == 0.0
    assert rates(loaded) == rates(model)


def test_weight_decay_spares_what_the_weighting_trains():
    decay = keras.optimizers.AdamW(0.0, weight_decay=0.5)
    model = compiled(per_task(decay, weighting=keras.optimizers.AdamW(1e-9, weight_decay=0.5)), weighting="uncertainty")
    model.weighting.log_variances.assign([1.0, 1.0])
    model.fit(tiny.dataset(*tiny.arrays(16)), verbose=0)
    np.testing.assert_allclose(model.weighting.log_variances.numpy(), 1.0, atol=1e-6)


def test_names_in_optimizers_are_those_that_slots_are_found_by():
    """Guards what `optimizer_slots` leans on: Keras names an optimizer's variables after those they belong to."""
    for optimizer, kinds in (
        (SGD(0.1, momentum=0.9), {"momentum"}),
        (Adam(0.1, amsgrad=True, use_ema=True), {"momentum", "velocity", "velocity_hat", "average"}),
        (keras.optimizers.RMSprop(0.1), {"velocity"}),
        (keras.optimizers.Lion(0.1), {"momentum"}),
    ):
        model = compiled(optimizer)
        slots = optimizer_slots(model.optimizer, model.trainable_variables)
        assert [slot.variable for slot in slots] == list(model.optimizer.variables)
        for variable in model.trainable_variables:
            assert {slot.kind for slot in slots if slot.owner == variable.path} == kinds
        assert [slot.kind for slot in slots if slot.owner is None] == ["iteration", "learning_rate"]


def test_wrong_arguments_are_named():
    adam = Adam()
    refused(
        lambda: per_task(adam, {"a": adam}),
        "Expected an optimizer object of its own for each part. Received: first='shared', second='a'. "
        "Do make one for each; tasks that are not named share that of the trunk.",
    )
    refused(
        lambda: per_task("adam", {"shared": "sgd"}),
        "Expected task names other than 'shared' and 'weighting', which name parts of the optimizer. "
        "Received: tasks=['shared']. Do rename the task, or pass the optimizer as the argument of that name.",
    )
    refused(
        lambda: per_task("adam", {"a": keras.optimizers.LossScaleOptimizer(Adam())}),
        "Expected a plain optimizer for each part (mixed_float16 puts loss scaling around all of them by itself). "
        "Received: a='LossScaleOptimizer'. Do pass e.g. keras.optimizers.Adam(1e-3).",
    )
    refused(
        lambda: per_task(global_clipnorm=0.0),
        "Expected a norm above 0, or None. Received: global_clipnorm=0.0. Do pass global_clipnorm=1.0.",
    )
    refused(
        lambda: per_task(l2={"a": -1.0}),
        "Expected finite factors of at least 0 in l2. Received: a=-1.0. Do correct it.",
    )
    refused(
        lambda: per_task(l2={"a": "0.1"}),
        "Expected finite factors of at least 0 in l2. Received: a='0.1'. Do correct it.",
    )
    refused(
        lambda: per_task(l2=0.1), "Expected factors by part in l2. Received: l2=0.1. Do pass e.g. {'shared': 1e-4}."
    )
    refused(
        lambda: per_task(tasks=["a"]),
        "Expected optimizers by task. Received: tasks=['a']. Do pass tasks={'age': 'sgd'}.",
    )
    refused(
        lambda: per_task(tasks={"a": None}),
        "Expected an optimizer for each part. Received: a=None. Do leave the part out, or pass 'sgd'.",
    )
    refused(
        lambda: compiled(per_task(tasks={"c": "sgd"})),
        "Expected names among the tasks ['a', 'b'] in tasks. Received: name='c'. Do correct the name.",
    )
    refused(
        lambda: compiled(per_task(l1={"c": 0.1})),
        "Expected names among the tasks ['a', 'b'] in l1. Received: name='c'. Do correct the name.",
    )
    refused(
        lambda: per_task().apply([]),
        "Expected gradients with their variables. Received: trainable_variables=None. Do call apply(grads, variables).",
    )


def test_wrong_warm_ups_are_named():
    refused(
        lambda: mtl.optimizers.WarmUp(0.0, 3),
        "Expected a learning rate above 0 or a schedule of Keras. Received: after=0.0. Do pass 1e-3.",
    )
    refused(
        lambda: mtl.optimizers.WarmUp(0.1, 0),
        "Expected a whole number of steps of at least 1. Received: steps=0. Do pass steps=500.",
    )
    refused(
        lambda: mtl.optimizers.WarmUp(0.1, 1, start=-1.0),
        "Expected a finite learning rate of at least 0 to start from. Received: start=-1.0. Do pass 0.0.",
    )
