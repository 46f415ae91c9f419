"""Directions against the optimum of the stated problem: by brute force up to six tasks, by its conditions beyond."""

import itertools

import numpy as np
import optima
import pytest
import tensorflow as tf
from matrix_cases import families, gramian_of, solve

from mtl_keras import weightings
from mtl_keras.weightings import solvers

FEW = [(2, 4), (3, 4), (4, 4), (5, 12), (6, 4), (6, 30)]
ALL = [(2, 4), (3, 40), (4, 9), (5, 4), (6, 13), (7, 7), (8, 4), (9, 200), (10, 4), (10, 25), (40, 4), (40, 100)]
CASES = list(families(2, 4))
ONE_OF_EACH_SOLVER = ("cagrad", "nash_mtl", "imtlg", "aligned_mtl")
every_case = pytest.mark.parametrize("case", CASES)


@pytest.fixture(autouse=True)
def _seeded():
    """In the place of the one for all tests: clearing the session makes TensorFlow optimise every graph anew."""


def matrices(case, sizes, seeds=1):
    """The rows of a case that are not 0, and the whole."""
    for (num_tasks, size), seed in itertools.product(sizes, range(seeds)):
        jacobian = families(num_tasks, size, seed)[case]
        yield jacobian, jacobian[np.linalg.norm(jacobian, axis=1) > 0]


def assert_near(direction, expected, scale, tolerance=1e-5):
    """Both vanish against `scale`, or they are the same to `tolerance` of their length."""
    length = np.linalg.norm(expected)
    if length < 1e-6 * scale:
        assert np.linalg.norm(direction) < 2e-6 * scale
    else:
        assert np.linalg.norm(direction - expected) <= tolerance * length


# -- by brute force ------------------------------------------------------------------------------------------------


@every_case
def test_mgda_is_the_shortest_combination(case):
    for jacobian, rows in matrices(case, FEW, seeds=2):
        direction = jacobian.T @ solve("mgda", jacobian)
        assert_near(direction, optima.shortest_in_hull(rows), np.linalg.norm(rows, axis=1).min())


@every_case
def test_dual_proj_and_upgrad_project_on_what_harms_none(case):
    for jacobian, rows in matrices(case, FEW, seeds=2):
        mean = jacobian.mean(0)
        direction = jacobian.T @ solve("dual_proj", jacobian)
        assert_near(direction, optima.nearest_harmless(rows, mean), np.linalg.norm(mean))
        expected = np.sum([optima.nearest_harmless(rows, row) for row in rows], 0) / len(jacobian)
        assert_near(jacobian.T @ solve("upgrad", jacobian), expected, np.linalg.norm(rows, axis=1).max() / 10)


@every_case
def test_cagrad_has_the_best_worst_case_in_its_ball(case):
    for jacobian, rows in matrices(case, FEW, seeds=2):
        mean = jacobian.mean(0)
        expected = optima.best_worst_case(rows, mean, 0.5 * np.linalg.norm(mean))
        if np.linalg.norm(optima.shortest_in_hull(rows)) < 1e-6 * np.linalg.norm(rows, axis=1).min():
            continue  # no direction helps all: the best is not unique
        assert_near(jacobian.T @ solve("cagrad", jacobian), expected, np.linalg.norm(mean))


# -- by the conditions of the optimum ------------------------------------------------------------------------------


@every_case
def test_conditions_of_mgda(case):
    """Every row has at least the product |d|^2 with the shortest d of the hull."""
    for jacobian, rows in matrices(case, ALL):
        weights = solve("mgda", jacobian)
        assert weights.min() >= 0
        np.testing.assert_allclose(weights.sum(), 1, rtol=1e-12)
        direction, lengths = jacobian.T @ weights, np.linalg.norm(rows, axis=1)
        length = np.linalg.norm(direction)
        if length > 1e-6 * lengths.min():
            assert ((rows @ direction - length**2) / (lengths * length)).min() >= -1e-8


@tf.function(autograph=False)
def projected(gramian, present):
    return solvers.cone_weights(solvers.rows_of(gramian, present), tf.eye(gramian.shape[0], dtype=tf.float64))


@tf.function(autograph=False)
def decomposed(gramian, present):
    return solvers.spectrum(solvers.rows_of(gramian, present))


@every_case
def test_conditions_of_projections(case):
    """d harms no task, what was added are weights of at least 0, and only of tasks with a product of 0."""
    for jacobian, rows in matrices(case, ALL):
        kept = np.linalg.norm(jacobian, axis=1) > 0
        units = rows / np.linalg.norm(rows, axis=1)[:, None]
        wanted = np.eye(len(jacobian))
        found = projected(*gramian_of(jacobian)).numpy()[: len(jacobian), : len(jacobian)]
        np.testing.assert_array_equal(found[:, ~kept], 0)
        for before, after in zip(wanted[:, kept], found[:, kept], strict=True):
            target, direction = before @ rows, after @ rows
            assert (after >= before).all()
            assert (units @ direction).min() >= -1e-8 * np.linalg.norm(target)
            assert (after - before) @ (rows @ direction) <= 1e-7 * (target @ target)


@every_case
def test_conditions_of_cagrad(case):
    """d ends on the ball; no product is below that with the combination by the weights."""
    for jacobian, rows in matrices(case, ALL):
        kept = np.linalg.norm(jacobian, axis=1) > 0
        weights = solve("cagrad", jacobian)
        mean = jacobian.mean(0)
        direction, radius = jacobian.T @ weights, 0.5 * np.linalg.norm(mean)
        assert np.linalg.norm(direction - mean) <= radius * (1 + 1e-7)
        shares = weights[kept] - 1 / len(jacobian)
        assert shares.min() >= -1e-12 * np.abs(weights).max()
        combination = rows.T @ shares
        if np.linalg.norm(solve("mgda", jacobian) @ jacobian) < 1e-6 * np.linalg.norm(rows, axis=1).min():
            continue
        np.testing.assert_allclose(np.linalg.norm(combination), radius, rtol=1e-7)
        ahead = rows @ direction - combination @ direction / shares.sum()
        assert (ahead / np.linalg.norm(rows, axis=1)).min() >= -1e-8 * np.linalg.norm(direction)


def is_possible(rows, limit):
    """Whether gradients are far from cancelling: the shortest combination of the unit rows is longer than `limit`."""
    units = rows / np.linalg.norm(rows, axis=1)[:, None]
    return np.linalg.norm(solve("mgda", units) @ units) > limit


@every_case
def test_nash_fixed_point(case):
    solved = 0
    for jacobian, rows in matrices(case, ALL):
        weights = solve("nash_mtl", jacobian, max_norm=0)[np.linalg.norm(jacobian, axis=1) > 0]
        assert weights.min() > 0
        if is_possible(rows, 3e-4):
            np.testing.assert_allclose(weights * (rows @ (rows.T @ weights)), 1, atol=1e-6)
            solved += 1
    assert solved or case == "opposed"


@every_case
@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_fairgrad_fixed_point(case, alpha):
    """Where gains are a millionth of their parts or more, and float64 can show them to 1e-6."""
    solved = 0
    for jacobian, rows in matrices(case, ALL):
        weights = solve("fairgrad", jacobian, alpha=alpha)[np.linalg.norm(jacobian, axis=1) > 0]
        assert weights.min() > 0
        gains, parts = rows @ (rows.T @ weights), weights * np.linalg.norm(rows, axis=1) ** 2
        if (parts < 1e6 * gains).all():
            np.testing.assert_allclose(gains * weights ** (1 / alpha), 1, atol=1e-6)
            solved += 1
    assert solved or case == "opposed"


@every_case
def test_equal_projections_of_imtlg_and_config(case):
    """By the definition where rows are independent, by the pseudo-inverse of the unit rows elsewhere."""
    for jacobian, rows in matrices(case, ALL):
        lengths = np.linalg.norm(rows, axis=1)
        units = rows / lengths[:, None]
        inverse = np.linalg.pinv(units, rcond=1e-7) @ np.ones(len(rows))
        impartial = jacobian.T @ solve("imtlg", jacobian)
        free = jacobian.T @ solve("con_fig", jacobian)
        if np.linalg.matrix_rank(units, tol=1e-7) == len(rows):
            np.testing.assert_allclose(units @ impartial / np.mean(units @ impartial), 1, atol=1e-5)
            np.testing.assert_allclose(solve("imtlg", jacobian).sum(), 1, atol=1e-9)
            np.testing.assert_allclose(units @ free / np.mean(units @ free), 1, atol=1e-5)
        if np.linalg.norm(inverse) > 1e-6:
            unit = inverse / np.linalg.norm(inverse)
            assert abs(impartial @ unit) >= (1 - 1e-9) * np.linalg.norm(impartial)
            assert_near(free, (rows @ unit).sum() * unit, lengths.max())


@every_case
def test_singular_vectors(case):
    """V is orthogonal, and so are the rows of V' J, as far as they are not 0; S are their lengths."""
    # graphs of odd sizes too
    sizes = [*itertools.product(ALL, [None]), ((3, 40), 3), ((5, 4), 5), ((5, 9), 5)]
    for (jacobian, rows), num_tasks in ((next(matrices(case, [shape])), size) for shape, size in sizes):
        axes, values, kept = (x.numpy() for x in decomposed(*gramian_of(jacobian, num_tasks)))
        np.testing.assert_allclose(axes.T @ axes, np.eye(len(axes)), atol=1e-12)
        axes = axes[: len(jacobian)]
        assert kept.sum() == np.linalg.matrix_rank(rows / np.linalg.norm(rows, axis=1)[:, None], tol=1e-8)
        turned = axes[:, kept].T @ jacobian
        lengths = np.linalg.norm(turned, axis=1)
        cosines = (turned / lengths[:, None]) @ (turned / lengths[:, None]).T
        np.testing.assert_allclose(cosines, np.eye(kept.sum()), atol=2e-5)
        np.testing.assert_allclose(values[kept], lengths, rtol=1e-4)
        np.testing.assert_allclose(axes[:, ~kept].T @ jacobian, 0, atol=1e-9 * np.abs(jacobian).max())


@pytest.mark.parametrize("case", [c for c in CASES if not c.startswith(("scaled", "nearly zero"))])
def test_aligned_mtl_is_the_polar_factor(case):
    """Against NumPy's singular value decomposition of the rows, where rows are of a size."""
    for jacobian, _ in matrices(case, ALL):
        left, values, right = np.linalg.svd(jacobian, full_matrices=False)
        kept = values > 1e-8 * values[0]
        expected = values[kept].min() * right[kept].T @ (left[:, kept].T @ np.full(len(jacobian), 1 / len(jacobian)))
        assert_near(jacobian.T @ solve("aligned_mtl", jacobian), expected, values[kept].min(), tolerance=1e-4)


@pytest.mark.parametrize("num_tasks", [2, 5])
def test_solvers_compiled_by_xla_do_the_same(num_tasks):
    """In one program, as `jit_compile=True` makes it, on every case; two tasks have ways of their own."""
    methods = {name: weightings.get(name).bind(num_tasks) for name in ONE_OF_EACH_SOLVER}

    @tf.function(autograph=False, jit_compile=True)
    def all_weights(gramian):
        present = tf.ones(num_tasks, tf.bool)
        return {name: method.call(tf.ones(num_tasks), gramian, present) for name, method in methods.items()}

    for case in CASES:
        jacobian, rows = next(matrices(case, [(num_tasks, 9)]))
        shortest = np.linalg.norm(rows, axis=1).min()
        for name, weights in all_weights(tf.constant(jacobian @ jacobian.T)).items():
            expected, found = jacobian.T @ solve(name, jacobian), jacobian.T @ weights.numpy()
            assert np.linalg.norm(found - expected) <= 1e-5 * max(np.linalg.norm(expected), shortest), (case, name)
