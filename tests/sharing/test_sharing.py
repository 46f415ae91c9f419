"""Sharing: what every architecture keeps, and hard sharing."""

import json

import keras
import numpy as np
import pytest

import mtl_keras as mtl
from mtl_keras import sharing, trunks

TASKS = ["left", "right", "middle"]
SMALL = {"hard": sharing.Hard(trunks.Conv((4, 6), dense=8, kernel_regularizer="l2"))}
PIXELS = np.random.default_rng(0).normal(size=(3, 8, 8, 2)).astype("float32")

every_sharing = pytest.mark.parametrize("method", [pytest.param(SMALL[name], id=name) for name in SMALL])


def model_of(method):
    x = keras.Input((8, 8, 2), name="image")
    features = method(x, TASKS)
    return keras.Model(x, {t: keras.layers.Dense(2, name=t)(features[t]) for t in TASKS})


def test_every_sharing_has_a_row_here():
    assert sorted(SMALL) == sharing.names()


@every_sharing
def test_every_task_gets_features_in_order(method):
    features = method(keras.Input((8, 8, 2)), TASKS)
    assert list(features) == TASKS
    assert {len(f.shape) for f in features.values()} <= {2, 4}


@every_sharing
def test_layers_are_new_each_time(method):
    assert not {id(v) for v in model_of(method).variables} & {id(v) for v in model_of(method).variables}


@every_sharing
def test_config_is_plain_json_and_makes_the_same_sharing(method):
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(method)))
    again = sharing.get(stored)
    assert type(again) is type(method)
    assert again.get_config() == method.get_config()
    assert [v.path for v in model_of(again).variables] == [v.path for v in model_of(method).variables]
    assert [v.shape for v in model_of(again).variables] == [v.shape for v in model_of(method).variables]
    assert json.loads(json.dumps(method.preprocessing())) == method.preprocessing()


@every_sharing
def test_saved_models_say_the_same(method, tmp_path):
    model = model_of(method)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for task in TASKS:
        np.testing.assert_array_equal(loaded(PIXELS)[task], model(PIXELS)[task])


@every_sharing
def test_build_makes_one_model_of_it(method):
    tasks = [mtl.Task(name, mtl.heads.Classifier(3)) for name in TASKS]
    model = mtl.build(keras.Input((8, 8, 2)), method, tasks)
    assert {task: tuple(output.shape) for task, output in model.output.items()} == dict.fromkeys(TASKS, (None, 3))
    assert model.preprocessing == method.preprocessing()
    assert model.losses


# -- hard --------------------------------------------------------------------------------------------------------------


def test_hard_sharing_gives_all_tasks_the_same_tensor():
    features = SMALL["hard"](keras.Input((8, 8, 2)), TASKS)
    assert features["left"] is features["right"] is features["middle"]
    heads = 3 * (8 * 2 + 2)
    trunk = (9 * 2 * 4 + 4) + (9 * 4 * 6 + 6) + (2 * 2 * 6 * 8 + 8)
    assert model_of(SMALL["hard"]).count_params() == trunk + heads


@pytest.mark.parametrize(
    "trunk",
    ["residual", trunks.Residual(), keras.saving.serialize_keras_object(trunks.Residual())],
    ids=["name", "instance", "config"],
)
def test_hard_takes_a_trunk_as_name_instance_or_config(trunk):
    method = sharing.Hard(trunk)
    assert isinstance(method.trunk, trunks.Residual)
    assert method.trunk.get_config() == trunks.Residual().get_config()


def test_hard_hands_on_what_the_trunk_does_to_pixels():
    trunk = trunks.Pretrained("DenseNet121")
    assert sharing.Hard(trunk).preprocessing()["mode"] == "torch"


def test_what_is_no_sharing_or_trunk():
    with pytest.raises(ValueError, match="Expected") as error:
        sharing.Hard("deep")
    assert str(error.value) == (
        "Expected the name of a trunk. Received: trunk='deep'. Do choose one of conv, pretrained, residual."
    )
    with pytest.raises(TypeError) as error:
        sharing.Hard(None)
    assert str(error.value) == "Expected a trunk name, config or instance. Received: trunk=None. Do see trunk names."
    with pytest.raises(ValueError, match="Expected") as error:
        sharing.get("soft")
    assert str(error.value) == (
        f"Expected the name of a sharing. Received: sharing='soft'. Do choose one of {', '.join(sharing.names())}."
    )
