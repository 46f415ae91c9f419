"""The partition finds shared and task variables and the cut in any functional graph, or says why not."""

from functools import partial

import keras
import numpy as np
import pytest
import tiny
from keras import layers

import mtl_keras as mtl
from mtl_keras.models import partition


def paths(variables):
    return [v.path for v in variables]


def check_halves(model, parts):
    """Trunk and heads run in turn are the model."""
    x = [np.random.default_rng(0).normal(size=(2, *t.shape[1:])).astype("float32") for t in model.inputs]
    x = x if len(x) > 1 else x[0]
    expected, got = model(x), parts.heads(parts.trunk(x))
    for task in expected:
        np.testing.assert_array_equal(expected[task], got[task])


def test_heads_at_two_depths_and_functional_operations():
    x = keras.Input((8, 8, 3))
    early = layers.Conv2D(4, 3, name="one")(x)
    late = layers.Conv2D(4, 3, name="two")(early)
    outputs = {
        "early": layers.Dense(2, name="early")(keras.ops.mean(early, axis=(1, 2))),
        "left": layers.Dense(2, name="left")(layers.Flatten()(late)),
        "right": layers.Dense(2, name="right")(layers.Flatten()(late) * 2.0),
    }
    model = keras.Model(x, outputs)
    parts = partition(model)
    assert sorted(parts.cut_names) == ["one", "two"]
    assert paths(parts.shared_variables) == ["one/kernel", "one/bias", "two/kernel", "two/bias"]
    assert {t: paths(v) for t, v in parts.task_variables.items()} == {
        task: [f"{task}/kernel", f"{task}/bias"] for task in outputs
    }
    assert paths(parts.last_shared_variables) == ["two/kernel", "two/bias"]
    check_halves(model, parts)


def test_mixture_of_experts_has_several_cut_tensors():
    x = keras.Input((6,))
    experts = [layers.Dense(4, "relu", name=f"expert{i}")(x) for i in range(3)]
    stacked = layers.Concatenate(name="experts")([keras.ops.expand_dims(e, 1) for e in experts])
    stacked = layers.Reshape((3, 4), name="stack")(layers.Flatten(name="all")(stacked))
    outputs = {}
    for task in ("a", "b"):
        gate = layers.Dense(3, "softmax", name=f"{task}_gate")(x)
        mixed = layers.Dot(1, name=f"{task}_mix")([gate, stacked])
        outputs[task] = layers.Dense(1, name=task)(mixed)
    model = keras.Model(x, outputs)
    parts = partition(model)
    assert parts.cut_names == [model.inputs[0].name, "stack"]
    assert paths(parts.task_variables["b"]) == ["b_gate/kernel", "b_gate/bias", "b/kernel", "b/bias"]
    check_halves(model, parts)


def test_models_used_as_layers_and_layers_called_twice_before_the_cut():
    inner = keras.Input((8, 8, 3))
    backbone = keras.Model(
        inner, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="c")(inner)), name="backbone"
    )
    left, right = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    both = layers.Concatenate(name="both")([backbone(left), backbone(right)])
    model = keras.Model([left, right], {t: layers.Dense(1, name=t)(both) for t in ("a", "b")})
    parts = partition(model)
    assert parts.cut_names == ["both"]
    assert paths(parts.shared_variables) == ["c/kernel", "c/bias"]
    check_halves(model, parts)


def test_an_output_that_feeds_another_task_is_part_of_the_cut():
    x = keras.Input((4,))
    first = layers.Dense(2, name="first")(layers.Dense(3, name="trunk")(x))
    model = keras.Model(x, {"first": first, "second": layers.Dense(1, name="second")(first)})
    parts = partition(model)
    assert parts.cut_names == ["first"]
    assert parts.task_variables["first"] == []
    check_halves(model, parts)


def test_features_state_the_cut():
    x = keras.Input((4,))
    h = layers.Dense(5, name="two")(layers.Dense(3, name="one")(x))
    model = keras.Model(x, {"only": layers.Dense(1, name="only")(h)})
    assert partition(model).shared_variables == []
    parts = partition(model, features=["two"])
    assert paths(parts.shared_variables) == ["one/kernel", "one/bias", "two/kernel", "two/bias"]
    check_halves(model, parts)
    with pytest.raises(ValueError, match="Expected names of layers") as error:
        partition(model, features=["three"])
    assert str(error.value) == (
        "Expected names of layers of this model. Received: features='three'. Do choose among ['one', 'two', 'only']."
    )
    with pytest.raises(ValueError, match="every layer to belong to the shared part or to one task"):
        partition(keras.Model(x, {t: layers.Dense(1, name=t)(h) for t in ("a", "b")}), features=["one"])


def test_a_layer_on_both_sides_of_the_cut_is_named():
    x = keras.Input((4,))
    twice = layers.Dense(4, name="twice")
    h = layers.Dense(4, name="trunk")(twice(x))
    model = keras.Model(x, {"a": layers.Dense(1, name="a")(h), "b": layers.Dense(1, name="b")(twice(h))})
    with pytest.raises(ValueError, match="Expected every layer") as error:
        partition(model)
    assert str(error.value) == (
        "Expected every layer to belong to the shared part or to one task (the shared part and task 'b' both call this "
        "one). Received: layer='twice'. Do pass features=[...] with the names of layers that together feed every head "
        "and come after every shared layer."
    )


def test_outputs_without_names_are_refused():
    x = keras.Input((4,))
    h = layers.Dense(3)(x)
    for call in (partition, mtl.export.inference_graph, mtl.export.Manifest.of):
        tiny.refused(
            lambda call=call: call(keras.Model(x, [layers.Dense(1)(h), layers.Dense(1)(h)])),
            "Expected a model with dict outputs. Received: outputs='list'. Do build it with outputs={'task': ...}.",
        )
        sequential = keras.Sequential([layers.Dense(1)], name="sequential")
        tiny.refused(
            lambda call=call, sequential=sequential: call(sequential),
            "Expected a functional model with dict outputs. Received: model=<Sequential name=sequential, built=False>. "
            "Do build it as keras.Model(inputs, {'task': ...}).",
        )


def test_a_task_that_shares_nothing_is_named():
    x = keras.Input((4,))
    h = layers.Dense(3)(x)
    outputs = {"a": layers.Dense(1, name="a")(h), "b": layers.Dense(1, name="b")(h), "c": layers.Dense(1, name="c")(x)}
    said = (
        "Expected every task to depend on a layer that another task uses too. Received: task='c'. "
        "Do connect it to the trunk, or train it as a model of its own."
    )
    tiny.refused(lambda: partition(keras.Model(x, outputs)), said)
    model = mtl.MultiTaskModel(x, outputs)
    for weighting in ("equal", "pcgrad"):
        tiny.refused(partial(model.compile, "sgd", loss="mse", weighting=weighting), said)
    model.compile("sgd", loss={"a": "mse", "b": "mse"})  # what is not trained need not share


def test_a_layer_that_two_tasks_call_apart_is_shared():
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    both = layers.Dense(3)
    outputs = {"a": layers.Dense(1, name="a")(both(left)), "b": layers.Dense(1, name="b")(both(right))}
    model = mtl.MultiTaskModel([left, right], outputs)
    model.compile("sgd", loss="mse")  # trains, though no cut lies behind all that is shared
    # the same layer inside two models that are used as layers
    towers = [keras.Model(tower, both(tower), name=f"tower_{tower.name}") for tower in (left, right)]
    apart = {n: layers.Dense(1, name=n)(t(i)) for n, t, i in zip("ab", towers, (left, right), strict=True)}
    mtl.MultiTaskModel([left, right], apart).compile("sgd", loss="mse")
