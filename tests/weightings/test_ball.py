"""The best worst case in a ball: in closed form for two rows, by guessing the worst rows, by search; all the same."""

import numpy as np
import pytest
import tensorflow as tf

from mtl_keras import weightings
from mtl_keras.weightings.solvers import ball

RADII = [0.1, 0.5, 0.9, 1.0, 2.0]


def mean_of(present):
    there = np.array(present, float)
    return tf.constant(there / there.sum())


def by_search(jacobian, c):
    present = [True] * len(jacobian)
    return ball._by_search(tf.constant(jacobian @ jacobian.T), tf.constant(present), mean_of(present), c).numpy()


def found(jacobian, c, present=None):
    present = [True] * len(jacobian) if present is None else present
    gramian = tf.constant(jacobian @ jacobian.T)
    return ball.worst_case_in_ball(gramian, tf.constant(present), mean_of(present), c).numpy()


@pytest.mark.parametrize("c", RADII)
@pytest.mark.parametrize("scale", [1e-40, 1.0])
def test_closed_form_of_two_rows(c, scale):
    rng = np.random.default_rng(0)
    for angle in (0.0, 1e-4, 0.3, 1.5, 2.0, 3.0, np.pi - 1e-4):
        for lengths in ((1.0, 1.0), (1.0, 3.0), (1e-5, 1.0)):
            turned = np.linalg.qr(rng.normal(size=(4, 4)))[0][:2]
            jacobian = scale * np.diag(lengths) @ [[1.0, 0.0], [np.cos(angle), np.sin(angle)]] @ turned
            expected = jacobian.mean(0) + jacobian.T @ by_search(jacobian, c)
            direction = jacobian.mean(0) + jacobian.T @ found(jacobian, c)
            np.testing.assert_allclose(
                direction, expected, rtol=0, atol=1e-5 * np.linalg.norm(expected), err_msg=f"{angle} {lengths}"
            )


@pytest.mark.parametrize("c", RADII)
def test_opposite_rows_meet_where_neither_is_harmed(c):
    """Beyond that they cancel: no reason for large weights of both."""
    jacobian = np.array([[1.0, 2.0], [-0.5, -1.0]])
    direction = jacobian.mean(0) + jacobian.T @ found(jacobian, c)
    np.testing.assert_allclose(direction, max(0.0, 1.0 - c) * jacobian.mean(0), atol=1e-12)
    assert found(jacobian, c).max() <= 1.0
    np.testing.assert_allclose(found(np.array([[1.0, 2.0], [-1.0, -2.0]]), c), 0.5 * min(c, 1.0) * np.ones(2))


@pytest.mark.parametrize("c", RADII)
def test_two_rows_of_which_one_does_not_count(c):
    jacobian = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(found(jacobian, c), [0.5 * c, 0.0])
    np.testing.assert_allclose(found(jacobian, c, present=[True, False]), [c, 0.0])
    np.testing.assert_allclose(found(np.zeros((2, 2)), c), [0.0, 0.0])
    np.testing.assert_allclose(found(np.array([[3.0, 4.0], [3.0, 4.0]]), c), [0.5 * c, 0.5 * c])


def test_two_rows_as_long_as_float64_holds():
    jacobian = np.array([[1.0, 0.0], [-0.6, 0.8]])
    np.testing.assert_allclose(found(1.2e154 * jacobian, 0.5), found(jacobian, 0.5), rtol=1e-12)


@pytest.mark.parametrize("num_rows", [1, 3, 5, 10, 40])
@pytest.mark.parametrize("c", RADII)
def test_guessed_rows_are_those_of_the_search(num_rows, c, monkeypatch):
    rng = np.random.default_rng(num_rows)
    for pull in (0.0, 0.5, -0.3):
        jacobian = rng.normal(size=(num_rows, 3 * num_rows + 2)) + pull * rng.normal(size=3 * num_rows + 2)
        jacobian *= 10.0 ** rng.uniform(-1, 1, size=(num_rows, 1))
        expected = by_search(jacobian, c)
        with monkeypatch.context() as patch:
            patch.setattr(ball, "_by_search", None)  # run eagerly, it is not called where the guess is right
            weights = found(jacobian, c)
        np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-8 * expected.max())
        assert (weights >= 0.0).all()


def test_rows_that_depend_on_each_other_are_searched(monkeypatch):
    searched = []
    search = ball._by_search
    monkeypatch.setattr(ball, "_by_search", lambda *args: searched.append(1) or search(*args))
    jacobian = np.random.default_rng(0).normal(size=(4, 9))
    jacobian[3] = jacobian[1]
    weights = found(jacobian, 0.5)
    assert searched
    np.testing.assert_allclose(weights[3], weights[1], rtol=1e-6)


def test_radius_is_kept():
    jacobian = np.random.default_rng(0).normal(size=(6, 20))
    for c in RADII:
        bent = jacobian.T @ (
            weightings.CAGrad(c=c)
            .bind(6)
            .call(tf.ones(6), tf.constant(jacobian @ jacobian.T), tf.ones(6, tf.bool))
            .numpy()
            - 1 / 6
        )
        np.testing.assert_allclose(np.linalg.norm(bent), c * np.linalg.norm(jacobian.mean(0)), rtol=1e-8)
