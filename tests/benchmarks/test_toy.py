"""The problem of two losses over two parameters: its values, and who reaches its front."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import toy
from benchmarks.toy_problem import STARTS, losses, reached, ways
from mtl_keras import weightings

LONG_ENOUGH = 34_000  # the slowest, IMTL-G from the first start, needs 32000


def test_losses_by_hand():
    """Bowls below y = 0: (49 + 0.1 0.355^2) / 10 - 20 at x = 0; valleys above: there log(3.5 - tanh y) + 6."""
    found = losses(tf.constant([[0.0, -8.355], [0.0, 20.0], [3.0, 0.0]], tf.float64), 1.0).numpy()
    bowl = (4.9 + 0.01 * 0.355**2 - 20) * np.tanh(8.355 / 2)
    np.testing.assert_allclose(found[0], [bowl, bowl], rtol=1e-12)
    np.testing.assert_allclose(found[1], [np.log(2.5) + 6, np.log(2.5) + 6], rtol=1e-7)
    np.testing.assert_array_equal(found[2], 0)
    point = tf.constant([[1.0, 2.0]], tf.float64)
    np.testing.assert_allclose(losses(point, 0.1) / losses(point, 1.0), [[0.1, 1.0]], rtol=1e-12)


def test_front_is_where_gradients_oppose():
    """At its height the sum of the bowls, with their factor tanh(y/2), has no slope in y."""
    points = tf.constant([[0.0, -8.355]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(points)
        total = tf.reduce_sum(losses(points, 1.0))
    np.testing.assert_allclose(tape.gradient(total, points), 0, atol=2e-3)
    np.testing.assert_array_equal(reached(np.array([[0.0, -8.2], [0.0, -8.0], [7.2, -8.4], [7.4, -8.4]])), [1, 0, 1, 0])


@pytest.mark.parametrize(
    "method",
    [
        weightings.NashMTL(),
        weightings.IMTLG(),
        weightings.MGDA(),
        weightings.FAMO(decay=0.0, min_losses=[-2.1, -21.0]),
    ],
    ids=lambda method: method.name,
)
def test_reaches_the_front_from_all_starts(method):
    assert reached(ways(method, LONG_ENOUGH, every=LONG_ENOUGH // 40)).any(0).all()


def test_equal_weights_come_to_rest_on_the_way():
    way = ways(weightings.Equal(), 50_000, every=5000)
    assert reached(way).any(0).tolist() == [True, True, False, True, True]
    assert way[-1, 2, 1] > 3  # at the bend, where the sum of the losses has a minimum


def test_each_start_has_a_state_of_its_own():
    """Together they go as they go alone."""
    method = weightings.FAMO(decay=0.0, min_losses=[-2.1, -21.0])
    together = ways(method, 200)
    alone = ways(method, 200, starts=STARTS[2:3])
    np.testing.assert_allclose(together[:, 2], alone[:, 0], rtol=1e-6)
    assert not np.allclose(together[-1], together[0])


def test_report_and_picture(tmp_path):
    way = np.tile(np.array(STARTS), (3, 1, 1))
    way[2, :2] = [0.0, -8.3]
    found = {scale: {"NashMTL": way, "Equal": way[:2]} for scale in toy.SCALES}
    text = toy.report(found, 1000)
    assert "| NashMTL | 2 of 5 | 1 / 1 / – / – / – | 2 of 5 | 1 / 1 / – / – / – |" in text
    assert "| Equal | 0 of 5 | – / – / – / – / – | 0 of 5 | – / – / – / – / – |" in text
    toy.draw({f"method {k}": way for k in range(5)}, 0.1, tmp_path / "toy.png")
    assert (tmp_path / "toy.png").stat().st_size > 10_000
