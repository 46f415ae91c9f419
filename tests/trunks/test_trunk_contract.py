"""What every registered trunk keeps, whatever its layers."""

import json

import keras
import numpy as np
import pytest

from mtl_keras import trunks

SMALL = {
    "conv": trunks.Conv((4, 6), batch_norm=True, dense=(8,), dropout=0.1, kernel_regularizer="l2"),
    "residual": trunks.Residual((4, 6), (1, 2), dropout=0.1, kernel_regularizer=keras.regularizers.L1(0.1)),
    "pretrained": trunks.Pretrained("MobileNet", input_scale=255.0, arguments={"alpha": 0.25}),
}
PIXELS = np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 3)).astype("float32")

every_trunk = pytest.mark.parametrize("trunk", [pytest.param(SMALL[name], id=name) for name in SMALL])


def model_of(trunk, name="trunk"):
    x = keras.Input((32, 32, 3), name="image")
    return keras.Model(x, trunk(x, name=name))


def test_every_trunk_has_a_row_here():
    assert sorted(SMALL) == trunks.names()


@every_trunk
def test_stages_in_turn_are_the_trunk_and_new_each_time(trunk):
    """Two copies in one graph, as cross-stitch needs them: same shapes, same output for same weights, none shared."""
    x = keras.Input((32, 32, 3))
    copies = {}
    for name in ("one", "two"):
        maps = [x]
        for stage in trunk.stages(name):
            maps.append(stage(maps[-1]))
        assert len(maps) > 2
        sides = [side[1] for side in (t.shape for t in maps) if len(side) == 4]
        assert sides == sorted(sides, reverse=True)
        copies[name] = keras.Model(x, maps[-1])
    one, two = copies.values()
    assert not {id(v) for v in one.variables} & {id(v) for v in two.variables}
    assert len({id(v) for v in keras.Model(x, [one.output, two.output]).variables}) == 2 * len(one.variables)
    whole = model_of(trunk)
    assert whole.output.shape == one.output.shape == two.output.shape
    for copy in (one, two):
        copy.set_weights(whole.get_weights())
        np.testing.assert_array_equal(copy(PIXELS), whole(PIXELS))


@every_trunk
def test_layer_names_begin_with_the_name_given(trunk):
    layers = model_of(trunk, name="left").layers
    assert [layer.name for layer in layers if not layer.name.startswith("left_")] == ["image"]


@every_trunk
def test_config_is_plain_json_and_makes_the_same_trunk(trunk):
    config = trunk.get_config()
    assert json.loads(json.dumps(config)) == config
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(trunk)))
    for again in (trunks.get(stored), keras.saving.deserialize_keras_object(stored)):
        assert type(again) is type(trunk)
        assert again.get_config() == config
        assert [v.shape for v in model_of(again).variables] == [v.shape for v in model_of(trunk).variables]
        assert again.preprocessing() == trunk.preprocessing()
    assert json.loads(json.dumps(trunk.preprocessing())) == trunk.preprocessing()


@every_trunk
def test_saved_models_say_the_same(trunk, tmp_path):
    whole = model_of(trunk)
    whole.save(tmp_path / "trunk.keras")
    loaded = keras.models.load_model(tmp_path / "trunk.keras")
    np.testing.assert_array_equal(loaded(PIXELS), whole(PIXELS))
    assert [(v.path, v.trainable) for v in loaded.weights] == [(v.path, v.trainable) for v in whole.weights]


@every_trunk
def test_mixed_precision_computes_in_float16_and_trains_in_float32(trunk):
    keras.config.set_dtype_policy("mixed_float16")
    whole = model_of(trunk)
    assert whole.output.dtype == "float16"
    assert {v.dtype for v in whole.weights} == {"float32"}
    assert np.isfinite(np.asarray(whole(PIXELS), "float32")).all()


@pytest.mark.parametrize("name", trunks.names())
def test_a_name_is_enough(name):
    assert trunks.get(name).registered_name == name
    assert trunks.get(name.upper()).get_config() == trunks.get(name).get_config()


def test_what_is_no_trunk():
    with pytest.raises(ValueError, match="Expected") as error:
        trunks.get("magic")
    assert str(error.value) == (
        "Expected the name of a trunk. Received: trunk='magic'. Do choose one of conv, pretrained, residual."
    )
    with pytest.raises(TypeError) as error:
        trunks.get(3)
    assert str(error.value) == "Expected a trunk name, config or instance. Received: trunk=3. Do see trunk names."
