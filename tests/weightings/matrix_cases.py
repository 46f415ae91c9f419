"""Jacobians on which gradient methods come to grief, and the methods compiled once for all of them."""

import functools

import numpy as np
import tensorflow as tf

from mtl_keras import weightings

MOST = 10  # smaller ones run in the same graph, with absent tasks


def families(num_tasks, size, seed=0):
    """Jacobians [K, P] by what is hard about them."""
    rng = np.random.default_rng([num_tasks, size, seed])
    rows = rng.normal(size=(num_tasks, size))
    axis = rng.normal(size=size)
    axis /= np.linalg.norm(axis)
    sides = rng.choice([-3.0, 3.0], num_tasks)
    scales = 10.0 ** rng.uniform(-5, 5, (num_tasks, 1))

    def with_second(row):
        changed = rows.copy()
        changed[1] = row
        return changed

    return {
        "random": rows,
        "aligned": rows + 2 * np.sqrt(size) * axis,
        "conflicting": rows + np.outer(sides, axis),
        "collinear": with_second(2 * rows[0]),
        "nearly collinear": with_second(2 * rows[0] + 1e-3 * rows[1]),
        "opposed": with_second(-rows[0]),
        "nearly opposed": with_second(-rows[0] + 1e-3 * rows[1]),
        "zero": with_second(0 * rows[1]),
        "nearly zero": with_second(1e-8 * rows[1]),
        "scaled": scales * rows,
        "scaled and conflicting": scales * (rows + np.outer(sides, axis)),
        "tiny": 1e-15 * rows,
        "huge": 1e12 * rows,
    }


@functools.cache
def _compiled(name, arguments, num_tasks):
    method = weightings.get(name)
    method = type(method).from_config({**method.get_config(), **dict(arguments)}).bind(num_tasks)
    return tf.function(lambda gramian, present: method.call(tf.ones(num_tasks), gramian, present), autograph=False)


def gramian_of(jacobian, num_tasks=None):
    """Its Gramian and which tasks are present, of the size of the graph that it runs in."""
    count = len(jacobian)
    num_tasks = num_tasks or (MOST if count <= MOST else count)
    gramian = np.zeros((num_tasks, num_tasks))
    gramian[:count, :count] = jacobian @ jacobian.T
    return tf.constant(gramian), tf.range(num_tasks) < count


def solve(name, jacobian, **arguments):
    """The weights that a Gramian method gives to a Jacobian, float64 [K]."""
    gramian, present = gramian_of(jacobian)
    weights = _compiled(name, tuple(arguments.items()), len(present))(gramian, present).numpy()
    np.testing.assert_array_equal(weights[len(jacobian) :], 0)
    assert np.isfinite(weights).all()
    return weights[: len(jacobian)]
