"""When a matrix of cosines is far from singular."""

import numpy as np
import pytest
import tensorflow as tf

from mtl_keras.weightings.solvers.rows import REGULAR, is_regular


def close_pair(num_rows, least):
    """Cosines of rows at right angles, but for two whose least eigenvalue is given."""
    cosines = np.eye(num_rows)
    cosines[0, 1] = cosines[1, 0] = 1.0 - least
    return tf.constant(cosines)


@pytest.mark.parametrize("num_rows", [2, 3, 40, 600])
def test_least_eigenvalue_tells(num_rows):
    assert is_regular(tf.eye(num_rows, dtype=tf.float64))
    assert is_regular(close_pair(num_rows, 3.0 * REGULAR))
    for least in (REGULAR, 0.1 * REGULAR, 0.0):
        assert not is_regular(close_pair(num_rows, least))


def test_never_true_of_a_matrix_that_is_nearly_singular():
    rng = np.random.default_rng(0)
    for num_rows in (2, 5, 30):
        for columns in (num_rows // 2, num_rows, 2 * num_rows):
            rows = rng.normal(size=(num_rows, columns)) + rng.normal(size=columns)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            cosines = rows @ rows.T
            if np.linalg.eigvalsh(cosines)[0] < REGULAR:
                assert not is_regular(tf.constant(cosines)), (num_rows, columns)
            elif columns == 2 * num_rows > 10:
                assert is_regular(tf.constant(cosines))
