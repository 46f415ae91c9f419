"""PCGrad and GradVac: tasks that visit each other in coefficients do what their gradients would do."""

import numpy as np
import pytest
import tensorflow as tf
from gradient_cases import batches, state

from mtl_keras.weightings.gradvac import GradVac
from mtl_keras.weightings.pcgrad import PCGrad
from mtl_keras.weightings.visits import random_visits

GOLDEN = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])


@pytest.mark.parametrize("method", [PCGrad(), GradVac()], ids=["pcgrad", "gradvac"])
def test_first_step_of_the_published_example(method):
    """g1.g2 = -22, |g1|^2 = 18, |g2|^2 = 38: g1' = g1 + 22/38 g2 and g2' = g2 + 22/18 g1, summed."""
    result = method.combine(GOLDEN).numpy()
    np.testing.assert_allclose(result, GOLDEN.T @ [1 + 22 / 18, 1 + 22 / 38], rtol=1e-12)
    np.testing.assert_allclose(result, [0.5848, 3.8012, 3.8012], atol=5e-5)


def surgery(jacobian, orders, targets):
    """PCGrad and GradVac on the vectors themselves, as the papers write them; targets move as in GradVac."""
    total = np.zeros(jacobian.shape[1])
    for i, order in enumerate(orders):
        mine = jacobian[i].copy()
        for j in order:
            other = jacobian[j]
            cosine = mine @ other / np.linalg.norm(mine) / np.linalg.norm(other)
            aim = targets[i, j]
            if cosine < aim:
                turn = aim * np.sqrt(1 - cosine**2) - cosine * np.sqrt(1 - aim**2)
                mine += other * np.linalg.norm(mine) * turn / (np.linalg.norm(other) * np.sqrt(1 - aim**2))
            targets[i, j] += 0.5 * (cosine - aim)
        total += mine
    return total


@pytest.mark.parametrize("num_tasks", [3, 7])
def test_coefficients_do_what_the_vectors_do(num_tasks):
    pcgrad, gradvac = PCGrad(seed=3), GradVac(beta=0.5, seed=3)
    targets = np.zeros([num_tasks, num_tasks])
    for step, jacobian in enumerate(batches(num_tasks, size=4, count=4)[0]):
        orders = random_visits(num_tasks, tf.constant([3, step], tf.int64)).others.numpy().T
        assert all(sorted([i, *order]) == list(range(num_tasks)) for i, order in enumerate(orders))
        want = surgery(jacobian, orders, np.zeros_like(targets))
        np.testing.assert_allclose(pcgrad.combine(jacobian).numpy(), want, rtol=1e-9)
        np.testing.assert_allclose(gradvac.combine(jacobian).numpy(), surgery(jacobian, orders, targets), rtol=1e-4)
        np.testing.assert_allclose(state(gradvac)["targets"], targets, atol=1e-6)


@pytest.mark.parametrize("num_tasks", [1, 4])
def test_visits_compiled_by_xla_are_the_same(num_tasks):
    """Over several calls, in which the orders and the targets move on."""
    eager, inside = ([kind().bind(num_tasks) for kind in (PCGrad, GradVac)] for _ in range(2))

    @tf.function(autograph=False, jit_compile=True)
    def compiled(gramian):
        return weights_of(inside, gramian)

    def weights_of(methods, gramian):
        present = tf.ones(num_tasks, tf.bool)
        return [method.call(tf.ones(num_tasks), gramian, present) for method in methods]

    for jacobian in batches(num_tasks, size=4, count=3)[0]:
        gramian = tf.constant(jacobian @ jacobian.T)
        np.testing.assert_allclose(compiled(gramian), weights_of(eager, gramian), rtol=1e-6)


def test_orders_are_uniform():
    """Of 300 draws for 3 tasks each of the two orders of the others comes about 150 times, deviation 9."""
    firsts = [random_visits(3, tf.constant([0, i], tf.int64)).others.numpy()[0] for i in range(300)]
    for task, low in enumerate([1, 0, 0]):
        assert 110 < np.sum(np.array(firsts)[:, task] == low) < 190


def test_gradvac_turns_to_the_mean_cosine():
    """Cosine 0.6 at first: no turn, target 0.3. Then orthogonal unit rows: g1' = g1 + 0.3/sqrt(1-0.09) g2, cosine 0.3
    with g2, and g2' likewise; the target becomes 0.15."""
    gradvac = GradVac(beta=0.5)
    np.testing.assert_allclose(gradvac.combine([[1.0, 0.0], [0.6, 0.8]]).numpy(), [1.6, 0.8], rtol=1e-12)
    np.testing.assert_allclose(gradvac.combine(np.eye(2)).numpy(), [1 + 0.3 / 0.91**0.5] * 2, rtol=1e-6)
    np.testing.assert_allclose(state(gradvac)["targets"], [[0, 0.15], [0.15, 0]], atol=1e-7)


def test_gradvac_survives_parallel_then_opposed_tasks():
    """Forty parallel steps bring the target to 1 in float32, where the rule would divide by 0."""
    gradvac = GradVac()
    for _ in range(40):
        np.testing.assert_allclose(gradvac.combine([[1.0, 2.0], [2.0, 4.0]]).numpy(), [3, 6], rtol=1e-6)
    assert state(gradvac)["targets"][0, 1] > 0.99999
    for rows in ([[1.0, 2.0], [2.0, -1.0]], [[1.0, 2.0], [-1.0, -2.0]], [[0.0, 0.0], [1.0, 1.0]]):
        assert np.isfinite(gradvac.combine(rows).numpy()).all()
    three = GradVac()
    # the first gradient is cancelled by the second before it meets the third, or the other way round
    assert np.isfinite(three.combine([[1.0, 2.0], [-1.0, -2.0], [-2.0, -4.0]]).numpy()).all()
    assert np.isfinite(state(three)["targets"]).all()


def test_gradvac_leaves_what_was_cancelled_alone():
    """Turned towards a high target, the rounding that is left of it would look like a gradient to later visits."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        row = rng.normal(size=6)
        jacobian = np.array([row, -0.37 * row, 1.3 * row, rng.normal(size=6)])
        gradvac = GradVac(seed=seed).bind(4)
        targets = np.zeros((4, 4), "float32")
        targets[0, 2] = 0.99995
        gradvac.targets.assign(targets)
        order = list(random_visits(4, tf.constant([seed, 0], tf.int64)).others.numpy()[:, 0])
        gradvac.call(tf.ones(4), tf.constant(jacobian @ jacobian.T), tf.ones(4, tf.bool))
        moved = (state(gradvac)["targets"] - targets)[0]
        after = order[order.index(1) + 1 :]
        if 3 in after:  # the second cancelled all of the first, and those that come later find nothing
            assert all(moved[task] == 0.0 for task in after), (seed, order, moved)
