"""What gradient methods promise, as asserts on one Jacobian that any test can use."""

import numpy as np
from matrix_cases import solve


def direction(name, jacobian, **arguments):
    return jacobian.T @ solve(name, jacobian, **arguments)


def assert_same_direction(found, expected, scale, tolerance=1e-5):
    """Equal to `tolerance` of their own length, or to that of `scale` where both nearly vanish."""
    length = max(np.linalg.norm(expected), 1e-5 * scale)
    assert np.linalg.norm(found - expected) <= tolerance * length


def size(jacobian):
    """The longest gradient."""
    return np.linalg.norm(jacobian, axis=1).max()


def assert_harms_none(name, jacobian, **arguments):
    """`J d >= 0`, to rounding in the largest of the terms that the products are made of."""
    weights = solve(name, jacobian, **arguments)
    lengths = np.linalg.norm(jacobian, axis=1)
    terms = np.abs(weights) * lengths
    assert (jacobian @ (jacobian.T @ weights) >= -1e-8 * lengths * terms.max(initial=0)).all()


def assert_order_does_not_matter(name, jacobian, order, **arguments):
    """Tasks in another order: the same direction."""
    expected = direction(name, jacobian, **arguments)
    assert_same_direction(direction(name, jacobian[order], **arguments), expected, size(jacobian))


def assert_basis_does_not_matter(name, jacobian, rotation, **arguments):
    """Parameters in another orthogonal basis: the direction turned with them."""
    expected = direction(name, jacobian, **arguments) @ rotation
    assert_same_direction(direction(name, jacobian @ rotation, **arguments), expected, size(jacobian))


def assert_scales(name, jacobian, scale, power, **arguments):
    """All gradients `scale` times as long: the direction `scale ** power` times as long."""
    expected = scale**power * direction(name, jacobian, **arguments)
    found = direction(name, scale * jacobian, **arguments)
    assert_same_direction(found, expected, scale**power * size(jacobian))


def assert_ignores_lengths(name, jacobian, lengths, **arguments):
    """Each gradient of another length: the same direction, up to its length."""
    expected = direction(name, jacobian, **arguments)
    found = direction(name, jacobian * lengths[:, None], **arguments)
    if np.linalg.norm(expected) > 1e-6 * size(jacobian):
        expected = expected / np.linalg.norm(expected)
        assert_same_direction(found / np.linalg.norm(found), expected, 1.0)


def assert_ignores_a_zero_gradient(name, jacobian, factor=1.0, **arguments):
    """A task more with a zero gradient: the same direction, times `factor` where means count the task."""
    expected = factor * direction(name, jacobian, **arguments)
    more = np.concatenate([jacobian, np.zeros_like(jacobian[:1])])
    assert_same_direction(direction(name, more, **arguments), expected, size(jacobian))


def assert_twins_share(name, jacobian, **arguments):
    """A task twice: both get equal weights."""
    weights = solve(name, np.concatenate([jacobian, jacobian[:1]]), **arguments)
    np.testing.assert_allclose(weights[-1], weights[0], rtol=1e-6, atol=1e-9 * np.abs(weights).max(initial=0))
