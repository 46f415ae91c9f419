"""Parts that stop training, tasks that come and go: nothing moves that should not, and nothing is forgotten."""

import keras
import numpy as np
import pytest
import tiny
from keras.optimizers import SGD, Adam

import mtl_keras as mtl
from mtl_keras.training.slots import optimizer_slots

NEW = {"name": "c", "head": mtl.heads.Regressor(mean=1.0)}


def compiled(optimizer=None, weighting="equal", **graph):
    model = tiny.model(**graph)
    model.compile(optimizer or Adam(0.01), loss=tiny.LOSSES, metrics={"a": ["accuracy"]}, weighting=weighting)
    return model


def memory(model):
    """What the optimizer remembers, by name."""
    slots = optimizer_slots(model.optimizer, model.weights)
    return {(slot.owner, slot.owner or slot.part, slot.kind): slot.variable.numpy() for slot in slots}


def with_memory(model):
    """The model, its optimizer full of numbers as after some training."""
    rng = np.random.default_rng(0)
    for variable in model.optimizer.variables:
        fresh = rng.uniform(0.1, 1.0, variable.shape)
        variable.assign(7 if variable.dtype.startswith("int") else fresh)
    return model


def values(model):
    return {v.path: v.numpy() for v in model.weights}


def test_a_frozen_part_stays_and_the_optimizer_remembers_the_others():
    optimizer = mtl.optimizers.per_task(Adam(0.01), {"a": SGD(0.1, momentum=0.9)})
    model = with_memory(compiled(optimizer, "uncertainty", batch_norm=True))
    before, start = memory(model), values(model)
    model.freeze("trunk")
    assert model.frozen == ["trunk"]
    of_others = {key for key in before if key[0] is None or key[0].split("/")[0] in ("a", "b", "uncertainty")}
    assert set(memory(model)) == of_others
    assert all((value == before[key]).all() for key, value in memory(model).items())
    x, y = tiny.arrays(32)
    model.fit(tiny.dataset(x, y), verbose=0)
    # batch normalization's statistics are part of the trunk
    assert tiny.moved(start, values(model)) == {"a", "b", "uncertainty"}
    model.unfreeze("trunk")
    assert set(memory(model)) == set(before)
    assert memory(model)["conv/kernel", "conv/kernel", "momentum"].max() == 0.0
    trained = {key: value for key, value in memory(model).items() if key in of_others}
    assert trained["a/kernel", "a/kernel", "momentum"].any()
    assert trained[None, "a", "iteration"] == 9


@pytest.mark.parametrize("weighting", ["uncertainty", "test_unit_weights"])
def test_a_frozen_task_leaves_the_balance(weighting):
    """All others train as if there were no labels of it; its loss is logged all the same."""
    x, y = tiny.arrays(32)
    frozen, unlabelled = compiled(weighting=weighting), compiled(weighting=weighting)
    start = values(frozen)
    frozen.freeze("a")
    logs = frozen.fit(tiny.dataset(x, y), epochs=2, verbose=0).history
    unlabelled.fit(tiny.dataset(x, {**y, "a": np.full_like(y["a"], -1)}), epochs=2, verbose=0)
    assert tiny.difference(frozen, unlabelled) == 0.0
    assert "a" not in tiny.moved(start, values(frozen))
    assert logs["a_weight"] == [0.0, 0.0]
    assert min(logs["a_loss"]) > 0.5
    assert min(logs["a_accuracy"]) > 0.0
    if weighting == "uncertainty":
        assert frozen.weighting.log_variances.numpy()[0] == 0.0 != frozen.weighting.log_variances.numpy()[1]
    frozen.unfreeze()
    assert frozen.frozen == []
    assert frozen.fit(tiny.dataset(x, y), verbose=0).history["a_weight"][0] > 0.0


def test_old_tasks_answer_as_before_when_one_is_added_to_a_frozen_trunk(tmp_path):
    """Bit for bit: at once, after training on the new task's labels, and on all labels with the old tasks frozen."""
    x, y = tiny.arrays(32)
    model = with_memory(compiled(batch_norm=True, dropout=0.3))
    model.freeze("trunk")
    wanted, before = model.predict(x, verbose=0), memory(model)
    larger = model.add_task(mtl.Task(**NEW))
    assert larger.task_names == ["a", "b", "c"]
    assert larger.frozen == ["trunk"]
    after = memory(larger)
    assert all((after[key] == value).all() for key, value in before.items())

    def assert_as_before(found):
        assert all((found[task] == wanted[task]).all() for task in wanted)

    assert_as_before(larger.predict(x, verbose=0))
    start = larger.predict(x, verbose=0)["c"]
    labels = {"a": np.full(32, -1), "b": np.full(32, np.nan, "float32"), "c": y["b"]}
    larger.fit(tiny.dataset(x, labels), verbose=0)
    assert_as_before(larger.predict(x, verbose=0))
    larger.freeze("a", "b")
    larger.fit(tiny.dataset(x, {**y, "c": y["b"]}), verbose=0)
    found = larger.predict(x, verbose=0)
    assert_as_before(found)
    assert (found["c"] != start).all()

    larger.save(tmp_path / "larger.keras")
    loaded = keras.models.load_model(tmp_path / "larger.keras")
    assert loaded.frozen == ["trunk", "a", "b"]
    assert [v.path for v in loaded.trainable_variables] == ["c_scaled/kernel", "c_scaled/bias"]
    there, here = memory(larger), memory(loaded)
    assert there.keys() == here.keys()
    assert all((here[key] == value).all() for key, value in there.items())
    loaded.fit(tiny.dataset(x, {**y, "c": y["b"]}), verbose=0)
    assert_as_before(loaded.predict(x, verbose=0))


def test_a_task_leaves_and_the_others_stay():
    model = with_memory(compiled(mtl.optimizers.per_task(Adam(0.01), {"b": SGD(0.1, momentum=0.9)}), four=True))
    model.freeze("a", "b")
    x, _ = tiny.arrays(8)
    wanted, before = model.predict(x, verbose=0), memory(model)
    smaller = model.remove_task("b")
    assert smaller.task_names == ["a", "c", "d"]
    assert smaller.frozen == ["a"]
    assert list(smaller.optimizer.parts) == ["shared"]
    assert smaller.plan.names == ["a"]  # of the others nothing was said at compile
    after = memory(smaller)
    assert after
    assert all((before[key] == value).all() for key, value in after.items())
    found = smaller.predict(x, verbose=0)
    assert all((found[task] == wanted[task]).all() for task in found)


def test_loss_scales_and_own_optimizers_come_along():
    keras.config.set_dtype_policy("mixed_float16")
    model = with_memory(compiled(mtl.optimizers.per_task(Adam(0.01))))
    before = memory(model)
    larger = model.add_task(mtl.Task(**NEW), optimizer=SGD(0.5, momentum=0.9))
    assert isinstance(larger.optimizer, keras.optimizers.LossScaleOptimizer)
    assert (None, "loss_scale", "dynamic_scale") in before
    after = memory(larger)
    assert all((after[key] == value).all() for key, value in before.items())
    assert {key[2] for key in after if key not in before} == {"momentum", "iteration", "learning_rate"}
    assert after[None, "c", "iteration"] == 0


def test_weightings_keep_what_they_know_of_each_task():
    learned = compiled(weighting="uncertainty")
    learned.weighting.log_variances.assign([0.5, -0.25])
    assert learned.add_task(mtl.Task(**NEW)).weighting.log_variances.numpy().tolist() == [0.5, -0.25, 0.0]
    told = compiled(weighting=mtl.weightings.Static({"a": 1.0, "b": 2.0}))
    told.weighting.assign({"b": 0.5})
    told = told.add_task(mtl.Task(**NEW, weight=3.0))
    assert told.weighting.current() == {"a": 1.0, "b": 0.5, "c": 3.0}
    assert told.remove_task("a").weighting.current() == {"b": 0.5, "c": 3.0}
    preferring = compiled(weighting=mtl.weightings.STCH(preference={"a": 1.0, "b": 2.0}))
    tiny.refused(
        lambda: preferring.add_task(mtl.Task(**NEW)),
        "Expected preference with one number for each of ['a', 'b', 'c']. Received: preference={'a': 1.0, 'b': 2.0}. "
        "Do name every task once.",
    )
    assert preferring.add_task(mtl.Task(**NEW), weighting="equal").weighting.name == "equal"
    assert preferring.remove_task("b").weighting.get_config()["preference"] == {"a": 1.0}
    dwa = compiled(weighting="dwa")
    dwa.weighting.counts.assign([3.0, 3.0])
    assert dwa.add_task(mtl.Task(**NEW)).weighting.counts.numpy().tolist() == [0.0, 0.0, 0.0]


def test_layers_inside_of_layers_are_frozen_one_by_one(tmp_path):
    """What was frozen before stays so when the part trains again, and files remember all of it."""
    inner = keras.Sequential([keras.layers.Dense(4, name="first"), keras.layers.Dense(4, name="second")], name="inner")
    x = keras.Input((3,))
    features = inner(x)
    inner.get_layer("first").trainable = False
    model = mtl.MultiTaskModel(x, {task: keras.layers.Dense(1, name=task)(features) for task in ("a", "b")})
    trained = [v.path for v in model.trainable_variables]
    assert trained[0] == "inner/second/kernel"
    model.freeze("trunk")
    assert [v.path for v in model.trainable_variables] == trained[2:]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [v.path for v in loaded.trainable_variables] == trained[2:]
    for one in (model, loaded):
        one.unfreeze()
        # Keras names variables of nested models anew when it loads them
        assert [v.path.removeprefix("inner/") for v in one.trainable_variables][:2] == ["second/kernel", "second/bias"]
    model.unfreeze("trunk")  # which is not frozen: train all of it
    assert len(model.trainable_variables) == len(trained) + 2


def test_a_frozen_trunk_leaves_gradient_methods_nothing_to_balance():
    model = compiled(weighting="pcgrad")
    names = [v.path for v in model.trainable_variables]
    tiny.refused(
        lambda: model.freeze("trunk"),
        "Expected trainable variables that tasks share, for weighting 'pcgrad' to balance. "
        "Received: trainable_shared_variables=0. "
        "Do unfreeze the trunk, or choose a weighting that reads losses only.",
    )
    assert model.frozen == []
    assert [v.path for v in model.trainable_variables] == names


def test_warm_starts_take_what_fits(tmp_path):
    source = with_memory(compiled(Adam(0.01)))
    source.save(tmp_path / "source.keras")
    model = compiled(Adam(0.5), seed=5).add_task(mtl.Task(**NEW))
    report = model.warm_start(tmp_path / "source.keras")
    assert report.missing == ["c_scaled/kernel", "c_scaled/bias"]
    assert set(report.loaded) == set(report.remembered) == {v.path for v in source.trainable_variables}
    there, here = values(source), values(model)
    assert all((here[path] == value).all() for path, value in there.items())
    known, now = memory(source), memory(model)
    assert all((now[key] == value).all() for key, value in known.items() if key[2] != "learning_rate")
    assert float(model.optimizer.learning_rate) == 0.5
    assert not now["c_scaled/kernel", "c_scaled/kernel", "momentum"].any()
    other = compiled(SGD(0.1, momentum=0.9))
    assert other.warm_start(source).remembered == []
    assert not memory(other)["conv/kernel", "conv/kernel", "momentum"].any()
    forgetful = compiled(Adam(0.5))
    assert forgetful.warm_start(source, optimizer=False).remembered == []
    assert int(forgetful.optimizer.iterations.numpy()) == 0


def test_what_cannot_be_is_named():
    model = compiled()
    for call, text in (
        (
            lambda: model.freeze("c"),
            "Expected 'trunk' or a task among ['a', 'b']. Received: part='c'. Do correct the name.",
        ),
        (
            lambda: model.freeze(["a"]),
            "Expected 'trunk' or a task among ['a', 'b']. Received: part=['a']. Do correct the name.",
        ),
        (
            lambda: model.freeze("a", "b"),
            "Expected at least one task that trains. Received: frozen=['a', 'b']. Do leave one out.",
        ),
        (
            lambda: model.add_task(mtl.Task("c")),
            "Expected a task with a head. Received: task='c'. Do pass Task(name, head), e.g. heads.Classifier(10).",
        ),
        (
            lambda: model.add_task(mtl.Task("a", NEW["head"])),
            "Expected a task name other than ['a', 'b']. Received: task='a'. Do rename the task.",
        ),
        (
            lambda: model.add_task(mtl.Task(**NEW), on="c"),
            "Expected 'cut' or the name of a layer of this model. Received: on='c'. "
            "Do choose among ['conv', 'relu', 'flat', 'dense', 'b', 'a'].",
        ),
        (
            lambda: model.add_task(mtl.Task(**NEW), on="flat").add_task(mtl.Task("d", NEW["head"])),
            "Expected a model whose heads all read one tensor, for a task on its cut. "
            "Received: cut=['flat', 'dense']. "
            "Do pass on= with the name of the layer whose output the task is to read.",
        ),
        (
            lambda: model.add_task(mtl.Task(**NEW), optimizer="sgd"),
            "Expected an optimizer of optimizers.per_task, for a task to have one of its own. "
            "Received: optimizer='Adam'. Do compile with per_task first, or leave optimizer out.",
        ),
        (
            lambda: model.remove_task("a").remove_task("b"),
            "Expected one of several tasks, here ['b']. Received: task='b'. Do correct the name.",
        ),
        (
            lambda: model.remove_task("a").freeze("trunk"),
            "Expected layers with variables that tasks share. Received: part='trunk', tasks=['b']. Do freeze tasks.",
        ),
    ):
        tiny.refused(call, text)


def test_replicas_see_tasks_leave_and_come():
    """Frozen tasks hold still on two replicas too, and a new task's variables belong to the same strategy."""
    x, y = tiny.arrays(32)
    made = []
    for scope in (None, tiny.replicas(2)):
        if scope is None:
            model = compiled(SGD(0.05, momentum=0.9)).add_task(mtl.Task(**NEW))
        else:
            with scope.scope():
                model = compiled(SGD(0.05, momentum=0.9))
            model = model.add_task(mtl.Task(**NEW))
        model.freeze("a")
        model.fit(tiny.dataset(x, {**y, "c": y["b"]}), verbose=0)
        made.append(model)
    names = [v.path for v in made[0].weights]
    assert "c_scaled/kernel" in names
    assert tiny.difference(*made) < 1e-6
