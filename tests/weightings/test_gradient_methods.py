"""What holds for every gradient method without a quadratic program, and every aggregator."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradient_cases import METHODS, RANDOM, batches, direction, make, state

from mtl_keras.weightings.excess_mtl import ExcessMTL
from mtl_keras.weightings.graddrop import GradDrop
from mtl_keras.weightings.gradnorm import GradNorm
from mtl_keras.weightings.gradvac import GradVac
from mtl_keras.weightings.krum import Krum
from mtl_keras.weightings.modo import MoDo
from mtl_keras.weightings.pcgrad import PCGrad
from mtl_keras.weightings.random_gradient import RandomGradient
from mtl_keras.weightings.sdmgrad import SDMGrad
from mtl_keras.weightings.trimmed_mean import TrimmedMean

every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_arguments_survive_their_config(name):
    method = make(name)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(method))
    assert type(again) is type(method)
    assert again.get_config() == method.get_config()
    assert {"name": name, **METHODS[name][1]}.items() <= method.get_config().items()


@every_method
def test_only_methods_that_draw_count_their_draws(name):
    names = [v.name for v in make(name).bind(4, gradient_size=6).variables]
    assert ("calls" in names) == (name in RANDOM)


@pytest.mark.parametrize("name", RANDOM)
def test_another_seed_draws_otherwise(name):
    jacobians, losses = batches(6, count=1)
    results = [METHODS[name][0](seed=seed).combine(jacobians[0], losses[0]).numpy() for seed in range(4)]
    assert len({tuple(np.round(r, 9)) for r in results}) > 1


@every_method
def test_absent_task_leaves_the_others_to_themselves(name):
    """Task 1 of 3 is absent: the other two get what they get alone, and its state stays."""
    jacobians, losses = batches(3)
    together, alone = make(name), make(name)
    if name == "krum":
        together, alone = Krum(0, 2).bind(3), Krum(0, 2)
        alone.byzantine = -1  # as if two tasks were allowed: both are taken
    before = None
    for jacobian, loss in zip(jacobians, losses, strict=True):
        got = direction(together, loss, jacobian, [True, False, True])
        want = direction(alone, loss[[0, 2]], jacobian[[0, 2]])
        if name != "random_gradient":  # its draws depend on the number of tasks
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        rows = {k: v[1] for k, v in state(together).items() if v.ndim}
        if before is None:
            before = {k: v[1] for k, v in state(make(name).bind(3, gradient_size=6)).items() if v.ndim}
        for key, value in rows.items():
            np.testing.assert_array_equal(value, before[key], err_msg=key)


@every_method
def test_no_task_present_gives_zero_and_moves_nothing(name):
    jacobians, losses = batches(4)
    method = make(name)
    direction(method, losses[0], jacobians[0])
    before = state(method)
    np.testing.assert_array_equal(direction(method, losses[1], jacobians[1], [False] * 4), np.zeros(6))
    for key, value in state(method).items():
        if key != "calls":
            np.testing.assert_array_equal(value, before[key], err_msg=key)


@pytest.mark.parametrize("name", [n for n in METHODS if n not in RANDOM])
def test_tasks_may_change_places(name):
    jacobians, losses = batches(5)
    order = [3, 0, 4, 2, 1]
    method, moved = make(name), make(name)
    for jacobian, loss in zip(jacobians, losses, strict=True):
        want = method.combine(jacobian, loss).numpy()
        np.testing.assert_allclose(moved.combine(jacobian[order], loss[order]).numpy(), want, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "method",
    [PCGrad(), GradVac(), GradDrop(), MoDo(), SDMGrad(), ExcessMTL(), TrimmedMean(0), RandomGradient(), GradNorm()],
    ids=lambda method: method.name,
)
def test_one_task_gives_its_plain_gradient(method):
    for _ in range(3):
        np.testing.assert_allclose(method.combine([[3.0, -4.0, 0.0]], [2.0]).numpy(), [3, -4, 0], rtol=1e-6)


def hard_matrices():
    """Jacobians on which rules that divide, take roots or compare come to grief."""
    rng = np.random.default_rng(1)
    random = rng.normal(size=(4, 6))
    return {
        "zero": np.zeros((4, 6)),
        "one zero row": random * [[1.0], [0.0], [1.0], [1.0]],
        "only one row": random * [[0.0], [1.0], [0.0], [0.0]],
        "all the same": np.tile(random[:1], (4, 1)),
        "opposed": np.array([[1.0], [-1.0], [2.0], [-3.0]]) * random[:1],
        "rank two": rng.normal(size=(4, 2)) @ rng.normal(size=(2, 6)),
        "nearly zero row": random * [[1.0], [1e-12], [1.0], [1.0]],
        "scaled": random * [[1e5], [1.0], [1e-5], [1e-10]],
        "tiny": 1e-15 * random,
        "huge": 1e12 * random,
        "more tasks than parameters": rng.normal(size=(12, 3)),
    }


@every_method
def test_hard_matrices_never_give_nan(name):
    reads = METHODS[name][0].reads  # a Gramian is float64 whatever the gradients are
    dtypes = ["float32", "float64"] if reads == "jacobian" else ["float64"]
    for dtype, (case, jacobian) in itertools.product(dtypes, hard_matrices().items()):
        method = make(name).bind(len(jacobian), gradient_size=jacobian.shape[1])
        rows = tf.constant(jacobian, dtype)
        losses_of = (np.linspace(0.1, 3.0, len(jacobian)), np.full(len(jacobian), 1e-6))
        for losses in losses_of if method.needs_losses else losses_of[:1]:
            result = method._direction(tf.constant(losses, dtype), rows, tf.ones(len(jacobian), tf.bool))
            assert np.isfinite(result).all(), case
            assert all(np.isfinite(value).all() for value in state(method).values()), case
        if case == "zero":
            np.testing.assert_array_equal(result, np.zeros(6))


@every_method
def test_task_with_zero_gradient_does_not_stop_the_others(name):
    jacobian = np.array([[1.0, 0.5, 0.0], [0.0, 0.0, 0.0], [0.5, 1.0, 0.0], [1.0, 1.0, 0.0]])
    result = make(name).combine(jacobian, [1.0, 1.0, 1.0, 1.0]).numpy()
    assert (result[:2] > 0.01).all()
    assert result[2] == 0


@pytest.mark.parametrize(
    "make_one",
    [PCGrad, GradVac, GradDrop, SDMGrad, lambda: Krum(0), lambda: TrimmedMean(0), RandomGradient],
    ids=["pcgrad", "gradvac", "graddrop", "sdmgrad", "krum", "trimmed_mean", "random_gradient"],
)
def test_direction_scales_with_the_gradients(make_one):
    jacobian = batches(4)[0][0]
    want = make_one().combine(jacobian).numpy()
    for scale in (1e-10, 1e10):
        np.testing.assert_allclose(make_one().combine(scale * jacobian).numpy(), scale * want, rtol=1e-9)


def test_pcgrad_of_two_tasks_never_harms_one():
    """g1' is orthogonal to g2 and the other way round, so that d.g_k = |g_k'|^2 or more."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        jacobian = rng.normal(size=(2, 3)) * 10.0 ** rng.uniform(-6, 6, (2, 1))
        along = jacobian @ PCGrad().combine(jacobian).numpy()
        assert (along >= -1e-12 * np.linalg.norm(jacobian, axis=1) ** 2).all()


def test_pcgrad_without_conflict_is_the_sum():
    jacobian = np.abs(batches(5)[0][0])
    np.testing.assert_allclose(PCGrad().combine(jacobian).numpy(), jacobian.sum(0), rtol=1e-12)
