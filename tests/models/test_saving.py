"""A saved model comes back whole; parts of one find their place in another by name."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tiny

import mtl_keras as mtl


def compiled(weighting, **kwargs):
    model = tiny.model(batch_norm=True)
    model.compile(
        tiny.forgiving_adam(),
        loss=tiny.LOSSES,
        metrics={"a": ["accuracy"]},
        loss_weights={"b": 0.5},
        weighting=weighting,
        class_weight={"a": {0: 2.0}},
        **kwargs,
    )
    return model


@pytest.mark.parametrize("weighting", ["static", "uncertainty", "test_row_sum"])
def test_a_loaded_model_goes_on_as_if_never_saved(tmp_path, weighting):
    """Compiled, with the weighting's state and the optimizer's: two more epochs end bit for bit alike."""
    data = tiny.dataset(*tiny.arrays(45))
    model = compiled(weighting)
    model.fit(data, epochs=2, verbose=0)
    if weighting == "static":
        model.weighting.assign({"b": 3.0})
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is mtl.MultiTaskModel
    for one, other in zip(model.weighting.variables, loaded.weighting.variables, strict=True):
        assert (one.numpy() == other.numpy()).all()
    assert model.evaluate(data, return_dict=True, verbose=0) == loaded.evaluate(data, return_dict=True, verbose=0)
    logs = [m.fit(data, epochs=2, verbose=0).history for m in (model, loaded)]
    assert logs[0] == logs[1]
    assert tiny.difference(model, loaded) == 0.0


def test_tasks_heads_and_arguments_come_back(tmp_path):
    tasks = [
        mtl.Task("colour", mtl.heads.Classifier(labels=["red", "green"]), weight=0.25, class_weight={1: 4.0}),
        mtl.Task("price", mtl.heads.Regressor(mean=10.0, std=2.0, unit="EUR")),
    ]
    model = mtl.build(keras.Input((8, 8, 3)), mtl.sharing.Hard(mtl.trunks.Conv((4,))), tasks, name="shop")
    model.compile("adam", weighting=mtl.weightings.Uncertainty(initial_log_variance=-0.5), head_gradients="weighted")
    model.save(tmp_path / "shop.keras")
    loaded = keras.models.load_model(tmp_path / "shop.keras")
    assert [task.get_config() for task in loaded.tasks] == [task.get_config() for task in tasks]
    assert loaded.preprocessing == model.preprocessing
    assert loaded.plan.loss_weights == [0.25, 1.0]
    assert loaded.plan.tasks[0].class_weight == {1: 4.0}
    assert loaded.plan.head_gradients == "weighted"
    assert loaded.weighting.initial_log_variance == -0.5


def test_a_saved_model_is_found_by_plain_keras_in_a_new_process(tmp_path):
    compiled("uncertainty").save(tmp_path / "model.keras")
    script = """
        import sys, keras, mtl_keras
        model = keras.models.load_model(sys.argv[1])
        print(type(model).__name__, model.weighting.name)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "model.keras")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["MultiTaskModel", "uncertainty"]


def test_recompiling_with_the_same_weighting_keeps_its_state():
    model = compiled("uncertainty")
    model.fit(tiny.dataset(*tiny.arrays(45)), verbose=0)
    before = model.weighting.log_variances.numpy()
    model.compile(tiny.forgiving_adam(), loss=tiny.LOSSES, weighting=model.weighting)
    assert (model.weighting.log_variances.numpy() == before).all()
    assert (before != 0).all()
    model.compile(tiny.forgiving_adam(), loss=tiny.LOSSES, weighting="uncertainty")
    assert (model.weighting.log_variances.numpy() == 0).all()
    assert sum("log_variances" in v.path for v in model.variables) == 1


def test_a_weighting_belongs_to_one_set_of_tasks():
    weighting = mtl.weightings.Uncertainty().bind(["x", "y"])
    with pytest.raises(ValueError, match="Expected a weighting") as error:
        compiled(weighting)
    assert str(error.value) == (
        "Expected a weighting that belongs to these tasks. Received: bound_to=['x', 'y'], tasks=['a', 'b']. "
        "Do make a new one for this model."
    )


def family(*names, width=4):
    tasks = [mtl.Task(name, mtl.heads.Classifier(3)) for name in names]
    return mtl.build(keras.Input((8, 8, 1)), mtl.sharing.Hard(mtl.trunks.Conv((width,), batch_norm=True)), tasks)


def test_heads_are_loaded_by_name_not_by_position(tmp_path):
    """Keras' own load_weights puts a's weights into the new head `first` here."""
    source, target = family("a", "b"), family("first", "a", "b")
    source.save(tmp_path / "source.keras")
    new = [v.numpy() for v in target.get_layer("first_logits").weights]
    trunk = mtl.load_trunk(target, tmp_path / "source.keras")
    head = mtl.load_task(target, source, "b")
    assert not trunk.missing
    assert any("moving_mean" in path for path in trunk.loaded)
    assert head.loaded == ["b_logits/kernel", "b_logits/bias"]
    for layer in [source.get_layer("b_logits"), *source.partition.shared_layers]:
        for mine, theirs in zip(target.get_layer(layer.name).weights, layer.weights, strict=True):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    for mine, before in zip(target.get_layer("first_logits").weights, new, strict=True):
        np.testing.assert_array_equal(mine.numpy(), before)
    assert not np.array_equal(target.get_layer("a_logits").kernel, source.get_layer("a_logits").kernel)
    plain = keras.Model(target.input, dict(target.output))
    assert mtl.load_task(plain, source, "a").loaded == ["a_logits/kernel", "a_logits/bias"]
    np.testing.assert_array_equal(target.get_layer("a_logits").kernel, source.get_layer("a_logits").kernel)


def test_what_cannot_be_loaded_is_reported(tmp_path):
    other = mtl.build(
        keras.Input((8, 8, 1)),
        mtl.sharing.Hard(mtl.trunks.Conv((4, 6))),
        [mtl.Task(name, mtl.heads.Classifier(3)) for name in "ab"],
    )
    first = mtl.build(
        keras.Input((8, 8, 1)),
        mtl.sharing.Hard(mtl.trunks.Conv((4, 5))),
        [mtl.Task(name, mtl.heads.Classifier(3)) for name in "ab"],
    )
    report = mtl.load_trunk(first, other)
    assert report.loaded
    assert report.reshaped
    assert "of another shape" in str(report)
    with pytest.raises(ValueError, match="at least one variable with the same path and shape"):
        mtl.load_task(family("c", "d"), other, "c")
    classes = [mtl.Task(name, mtl.heads.Classifier(5)) for name in "ab"]
    wider = mtl.build(keras.Input((8, 8, 1)), mtl.sharing.Hard(mtl.trunks.Conv((4, 6))), classes)
    with pytest.raises(ValueError, match="same shape") as error:
        mtl.load_task(wider, other, "a")
    path, shape = wider.partition.task_variables["a"][0].path, tuple(wider.partition.task_variables["a"][0].shape)
    assert str(error.value) == (
        "Expected at least one variable of the same shape in the source. "
        f"Received: variable={path!r}, shape={shape}, in_source={(*shape[:-1], 3)}. "
        "Do build the layers as they are there, or start these anew."
    )
    with pytest.raises(ValueError, match=r"Expected a task among \['a', 'b'\]"):
        mtl.load_task(first, other, "z")
    with pytest.raises(ValueError, match=r"Expected a \.keras file or a Keras model"):
        mtl.load_trunk(first, "model.weights.h5")
    with pytest.raises(ValueError, match="Expected a file that exists"):
        mtl.load_trunk(first, "nowhere.keras")
    cut = tmp_path / "cut.keras"
    cut.write_bytes(b"PK")
    tiny.refused(
        lambda: mtl.load_trunk(first, cut),
        f"Expected a .keras file that is whole. Received: source='{cut}'. Do save or copy it again.",
    )
