"""What every registered weighting promises, loss weightings, gradient methods and wrappers alike."""

import importlib
import json
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtl_keras import weightings
from mtl_keras.weightings.base import registry

for module in pkgutil.iter_modules(weightings.__path__):
    importlib.import_module(f"{weightings.__name__}.{module.name}")

# tests register weightings of their own
NAMES = [name for name in weightings.names() if registry.cls(name).__module__.startswith("mtl_keras.")]
every_weighting = pytest.mark.parametrize("name", NAMES)

NUM_TASKS, SIZE = 4, 6
ALL = [True] * NUM_TASKS
WITHOUT_SECOND = [True, False, True, True]
# methods that leave out extremes need tasks to leave out
AT_LEAST = {"krum": 4, "trimmed_mean": 3}
# states per task that do not belong to the task: whom the last solve was for
ABOUT_THE_BATCH = {"solved_for"}


def make(name, num_tasks=NUM_TASKS):
    return weightings.get(name).bind(num_tasks, gradient_size=SIZE)


def batches(num_tasks=NUM_TASKS, count=3):
    """Losses [K] and Jacobians [K, P] in which tasks conflict."""
    rng = np.random.default_rng(3)
    return [
        (rng.uniform(0.2, 2.0, num_tasks).astype("float32"), rng.normal(size=(num_tasks, SIZE))) for _ in range(count)
    ]


def statistic(method, jacobian):
    """What the method reads beside the losses."""
    if method.reads == "losses":
        return []
    return [jacobian if method.reads == "jacobian" else tf.matmul(jacobian, jacobian, transpose_b=True)]


def step(method, losses, jacobian, present):
    """One step as in training: weights or a direction, then the second look where the method wants one."""
    losses, present = tf.cast(losses, tf.float32), tf.cast(present, tf.bool)
    there = tf.cast(present, tf.float64)
    losses, jacobian = losses * tf.cast(there, tf.float32), tf.cast(jacobian, tf.float64) * there[:, None]
    result = method.call(losses, *statistic(method, jacobian), present)
    if method.second_forward:
        method.after_step(losses, 0.9 * losses**2, present)
    return result


def state(method):
    return {variable.path: np.array(variable) for variable in method.variables}


def direction(method, result, jacobian):
    return np.asarray(result) if method.reads == "jacobian" else np.asarray(jacobian).T @ np.asarray(result)


@every_weighting
def test_results_are_finite_and_state_is_in_float32_variables(name):
    method = make(name)
    plain = (int, float, str, bool, tuple, list, dict, type(None), np.ndarray)
    attributes = {k: repr(v) for k, v in vars(method).items() if isinstance(v, plain) and k[0] != "_"}
    for epoch, (losses, jacobian) in enumerate(batches()):
        method.begin_epoch(epoch)
        result = step(method, losses, jacobian, ALL)
        assert result.shape == (SIZE if method.reads == "jacobian" else NUM_TASKS,)
        assert np.isfinite(result).all()
        assert np.abs(result).max() > 0
    assert all(np.isfinite(value).all() for value in state(method).values())
    for variable in method.variables:
        assert variable.dtype == ("int64" if variable.name == "calls" else "float32"), variable.path
    assert {k: repr(v) for k, v in vars(method).items() if isinstance(v, plain) and k[0] != "_"} == attributes


@every_weighting
def test_documented_with_example_and_source(name):
    cls = registry.cls(name)
    assert "Example:" in cls.__doc__
    assert "Source:" in cls.__doc__ or name == "static"  # set by hand: no method, no source
    assert cls.paper
    assert cls.cost


@every_weighting
def test_config_round_trip(name):
    method = weightings.get(name)
    assert method.name == name
    assert method.registered_name == name
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(method)))
    for again in (weightings.get(config), keras.saving.deserialize_keras_object(config)):
        assert type(again) is type(method)
        assert again.get_config() == method.get_config()


@every_weighting
def test_reset_equals_fresh(name):
    used, fresh = make(name), make(name)
    for epoch, batch in enumerate(batches()):
        used.begin_epoch(epoch)
        step(used, *batch, ALL)
    used.reset()
    for path, value in state(fresh).items():
        np.testing.assert_array_equal(state(used)[path], value, err_msg=path)
    for batch in batches():
        np.testing.assert_array_equal(step(used, *batch, ALL), step(fresh, *batch, ALL))


@every_weighting
def test_state_is_kept_under_the_methods_name(name):
    used, fresh = make(name), make(name)
    step(used, *batches()[0], ALL)
    for one, other in zip([used, *getattr(used, "inners", ())], [fresh, *getattr(fresh, "inners", ())], strict=True):
        store = {}
        one.save_own_variables(store)
        assert all(key.startswith(f"{one.registered_name}.") for key in store)
        other.load_own_variables(store)
    for path, value in state(used).items():
        np.testing.assert_array_equal(state(fresh)[path], value, err_msg=path)


@every_weighting
def test_eager_graph_and_xla_agree(name):
    results, states = [], []
    for how in ({}, {"jit_compile": False}, {"jit_compile": True}):
        method = make(name)
        run = tf.function(lambda *batch, method=method: step(method, *batch), autograph=False, **how) if how else None
        present = [ALL, WITHOUT_SECOND, ALL]
        found = []
        for (losses, jacobian), there in zip(batches(), present, strict=True):
            batch = [tf.constant(losses), tf.constant(jacobian), tf.constant(there)]
            found.append(np.array(run(*batch) if run else step(method, *batch)))
        results.append(found)
        states.append(state(method))
    for other, other_state in zip(results[1:], states[1:], strict=True):
        np.testing.assert_allclose(other, results[0], rtol=2e-5, atol=1e-6)
        for path, value in states[0].items():
            np.testing.assert_allclose(other_state[path], value, rtol=1e-4, atol=1e-6, err_msg=path)


@every_weighting
def test_absent_task_weighs_nothing_and_keeps_its_state(name):
    method = make(name)
    (first, second, third) = batches()
    step(method, *first, ALL)
    before = state(method)
    with tf.GradientTape() as tape:
        result = step(method, *second, WITHOUT_SECOND)
        total = tf.reduce_sum(result)
        penalty = method.penalty(tf.constant(WITHOUT_SECOND))
        total = total if penalty is None else tf.cast(total, tf.float32) + penalty
    if method.reads != "jacobian":
        assert result[1] == 0
    assert np.isfinite(result).all()
    for path, value in state(method).items():
        if path.split("/")[-1] in ABOUT_THE_BATCH:
            continue
        for axis, length in enumerate(value.shape):
            if length == NUM_TASKS:
                own, own_before = np.take(value, 1, axis), np.take(before[path], 1, axis)
                np.testing.assert_array_equal(own, own_before, err_msg=path)
    for gradient in tape.gradient(total, [v.value for v in method.trainable_variables]):
        assert gradient is not None
        assert gradient[1] == 0
    assert np.isfinite(step(method, *third, ALL)).all()


@every_weighting
def test_no_task_present_gives_nothing_and_moves_nothing(name):
    method = make(name)
    first, second, _ = batches()
    step(method, *first, ALL)
    before = state(method)
    np.testing.assert_array_equal(step(method, *second, [False] * NUM_TASKS), 0.0)
    for path, value in state(method).items():
        if value.shape:
            about_the_batch = path.split("/")[-1] in ABOUT_THE_BATCH
            np.testing.assert_array_equal(value, 0.0 if about_the_batch else before[path], err_msg=path)


@every_weighting
def test_one_task_is_trained_along_its_gradient(name):
    if name in AT_LEAST:
        with pytest.raises(ValueError, match=f"Expected at least .* = {AT_LEAST[name]} tasks. Received: tasks=1"):
            make(name, num_tasks=1)
        return
    method = make(name, num_tasks=1)
    losses, jacobian = batches(num_tasks=1)[0]
    row = jacobian[0]
    for _ in range(3):
        found = direction(method, step(method, losses, jacobian, [True]), jacobian)
        length = found @ row / np.linalg.norm(row)
        assert length > 0
        np.testing.assert_allclose(found, length * row / np.linalg.norm(row), rtol=1e-5, atol=1e-6)


@every_weighting
def test_mixed_precision_changes_nothing(name):
    expected = step(make(name), *batches()[0], ALL)
    keras.config.set_dtype_policy("mixed_float16")
    np.testing.assert_array_equal(step(make(name), *batches()[0], ALL), expected)


def test_every_module_of_methods_is_in_the_package_namespace():
    """A method that is registered only once its file happens to be imported would not load from a saved model."""
    assert [name for name in NAMES if registry.cls(name).__name__ not in weightings.__all__] == []
