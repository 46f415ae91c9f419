"""Values of the gradient methods without a quadratic program: published, worked by hand, or by their definition."""

import numpy as np
import pytest
import tensorflow as tf
from gradient_cases import batches, direction, state, weights_of

from mtl_keras.weightings import simplex
from mtl_keras.weightings.checks import number
from mtl_keras.weightings.dbmtl import DBMTL
from mtl_keras.weightings.draws import uniform
from mtl_keras.weightings.excess_mtl import ExcessMTL
from mtl_keras.weightings.graddrop import GradDrop
from mtl_keras.weightings.gradnorm import GradNorm
from mtl_keras.weightings.gradvac import GradVac
from mtl_keras.weightings.krum import Krum
from mtl_keras.weightings.moco import MoCo
from mtl_keras.weightings.modo import MoDo
from mtl_keras.weightings.pcgrad import PCGrad
from mtl_keras.weightings.random_gradient import RandomGradient
from mtl_keras.weightings.sdmgrad import SDMGrad
from mtl_keras.weightings.trimmed_mean import TrimmedMean

GOLDEN = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])


# -- draws ---------------------------------------------------------------------------------------------------------


def test_graddrop_keeps_a_sign_as_often_as_the_tasks_lean_to_it():
    """3 against -1: P = (1 + 2/4)/2 = 0.75, one draw a coordinate for both tasks: 3 in 3/4 of 20000, else -1."""
    jacobian = np.array([[3.0], [-1.0]]) * np.ones(20000)
    result = GradDrop().combine(jacobian).numpy()
    assert set(result) == {3.0, -1.0}
    assert abs(np.mean(result == 3.0) - 0.75) < 0.015
    leaky = GradDrop(leak=0.5).combine(jacobian[:, :500]).numpy()
    assert set(leaky) == {0.5 * 2 + 0.5 * 3, 0.5 * 2 - 0.5 * 1}
    np.testing.assert_array_equal(GradDrop(leak=1.0).combine(jacobian[:, :9]).numpy(), [2.0] * 9)


def test_graddrop_drops_nothing_where_tasks_agree():
    """P is 1 or 0; a uniform number of exactly 0 or 1 would break it, so draws never reach 1."""
    rows = np.outer([1.0, 2.0], np.tile([1.0, -1.0, 0.0], 5000))
    np.testing.assert_array_equal(GradDrop().combine(rows).numpy(), rows.sum(0))
    drawn = uniform([100000], tf.constant([0, 0], tf.int64)).numpy()
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.005


def test_random_gradient_is_a_softmax_of_normals():
    method = RandomGradient(seed=1).bind(3)
    present = tf.constant([True, True, False])
    weights = np.array([method.call(tf.ones(3), tf.eye(3, dtype=tf.float64), present) for _ in range(400)])
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(weights[:, 2], 0)
    # log w1 - log w2 is a difference of two normals: mean 0, deviation sqrt 2
    differences = np.log(weights[:, 0] / weights[:, 1])
    assert abs(differences.mean()) < 0.2
    assert abs(differences.std() - 2**0.5) < 0.15


# -- aggregators and weights with memory -----------------------------------------------------------------------------


def test_moco_by_hand():
    """h1 = (1, 0), h2 = (0, 2). Step 1: Y = h/2, YY' = diag(1/4, 1), w - 0.1 YY' w = (0.4875, 0.45), so that
    w1 = 1/(1 + e^-0.0375). Step 2: rates by 1/sqrt 2: Y1 = 0.5 + 0.5^1.5 0.5, Y2 twice that."""
    moco = MoCo()
    first = 1 / (1 + np.exp(-0.0375))
    result = moco.combine([[3.0, 0.0], [0.0, 5.0]], losses=[1.0, 2.0]).numpy()
    np.testing.assert_allclose(result, [0.5 * first, 1 - first], rtol=1e-6)

    tracked = 0.5 + 0.5**1.5 * 0.5
    w1 = first * (1 - 0.1 / 2**0.5 * tracked**2)
    w2 = (1 - first) * (1 - 0.1 / 2**0.5 * 4 * tracked**2)
    second = 1 / (1 + np.exp(w2 - w1))
    result = moco.combine([[3.0, 0.0], [0.0, 5.0]], losses=[1.0, 2.0]).numpy()
    np.testing.assert_allclose(result, [tracked * second, 2 * tracked * (1 - second)], rtol=1e-6)
    np.testing.assert_allclose(state(moco)["mixture"], [second, 1 - second], rtol=1e-6)
    np.testing.assert_array_equal(state(moco)["steps"], [2, 2])


CROSS = tf.constant([[4.0, 0.0], [2.0, 4.0]], tf.float64)  # J1 J2' of two different halves: not symmetric
BOTH = tf.constant([True, True])


def test_modo_by_hand():
    """A w = (2, 3) at w = 1/2: (0.3, 0.2), projected (0.55, 0.45). Then A = 0 and rho = 1: (0.495, 0.405) + 0.05."""
    modo = MoDo(gamma=0.1, rho=0.0).bind(2)
    np.testing.assert_allclose(modo.call(tf.ones(2), CROSS, BOTH), [0.55, 0.45], rtol=1e-12)
    modo.rho = 1.0
    np.testing.assert_allclose(modo.call(tf.ones(2), 0 * CROSS, BOTH), [0.545, 0.455], rtol=1e-6)


def test_sdmgrad_by_hand():
    """s = 2, A = ((1, 0), (1/2, 1)), w + lam/K = 3/4: v = (0.75, 1.125), w = (0.425, 0.3875) + 0.09375. Again:
    v = v/2 + (0.76875, 1.115625) = (1.14375, 1.678125), w = (0.404375, 0.3134375) + 0.14109375; then the pull."""
    sdmgrad = SDMGrad(lam=0.5, learning_rate=0.1, momentum=0.5, iterations=2).bind(2)
    want = (np.array([0.54546875, 0.45453125]) + 0.25) / 1.5
    np.testing.assert_allclose(sdmgrad.call(tf.ones(2), CROSS, BOTH), want, rtol=1e-12)
    np.testing.assert_allclose(state(sdmgrad)["mixture"], [0.54546875, 0.45453125], rtol=1e-6)


def test_modo_and_sdmgrad_walk_to_the_smallest_combination():
    """MGDA's weights on the published example are (0.6, 0.4): the minimum of both without their pulls."""
    modo = MoDo(gamma=0.01, rho=0.0)
    for _ in range(40):
        result = modo.combine(GOLDEN).numpy()
    np.testing.assert_allclose(result, [0, 1, 1], atol=1e-5)
    sdmgrad = SDMGrad(lam=0.0, learning_rate=0.1, iterations=200)
    np.testing.assert_allclose(sdmgrad.combine(GOLDEN).numpy(), [0, 1, 1], atol=1e-6)


def test_sdmgrad_does_not_see_scale_and_stays_without_positive_products():
    weights = weights_of(SDMGrad(), GOLDEN)
    np.testing.assert_allclose(weights_of(SDMGrad(), 1e-6 * GOLDEN), weights, rtol=1e-6)
    sdmgrad = SDMGrad().bind(2)
    np.testing.assert_allclose(sdmgrad.call(tf.ones(2), -CROSS, BOTH), [0.5, 0.5], rtol=1e-6)


def test_dbmtl_by_hand():
    """h1 = (3, 4), h2 = (0, 1). At beta 1/2, b = h/2, norms 2.5 and 0.5: (1.5, 2) + (0, 2.5). Then the past weighs
    1/2 (sigma 0), b = 3/4 h, or 1/4 (sigma 1), b = 7/8 h; the direction is (3, 9) times that."""
    for sigma, factor in ((0.0, 0.75), (1.0, 0.875)):
        dbmtl = DBMTL(beta=0.5, sigma=sigma)
        rows, losses = [[3.0, 4.0], [0.0, 2.0]], [1.0, 2.0]
        np.testing.assert_allclose(dbmtl.combine(rows, losses).numpy(), [1.5, 4.5], rtol=1e-6)
        np.testing.assert_allclose(dbmtl.combine(rows, losses).numpy(), [3 * factor, 9 * factor], rtol=1e-6)


def test_dbmtl_does_not_see_the_scale_of_losses():
    rows, losses = (a[0] for a in batches(4))
    scale = np.array([1.0, 1e3, 1e-3, 10.0])
    want = DBMTL().combine(rows, losses).numpy()
    np.testing.assert_allclose(DBMTL().combine(rows * scale[:, None], losses * scale).numpy(), want, rtol=1e-4)


def test_excess_mtl_by_hand():
    """Units: e = |g| = (1, 2). The same gradients again: e = g^2/sqrt(2 g^2), ratios both 1/sqrt 2, weights equal. Then
    task 1 has nothing left to gain: only w2 grows, by exp(0.5/sqrt 3)."""
    excess = ExcessMTL(learning_rate=0.5)
    for _ in range(2):
        np.testing.assert_allclose(excess.combine([[1.0, 0.0], [0.0, 2.0]]).numpy(), [1, 2], rtol=1e-6)
    growth = np.exp(0.5 / 3**0.5)
    result = excess.combine([[0.0, 0.0], [0.0, 2.0]]).numpy()
    np.testing.assert_allclose(result, [0, 2 * 2 * growth / (1 + growth)], rtol=1e-6)
    weights = np.exp(state(excess)["log_weights"])
    np.testing.assert_allclose(weights, np.array([2, 2 * growth]) / (1 + growth), rtol=1e-6)


def test_excess_mtl_takes_the_mean_of_its_warmup():
    """Two batches, e = 1 and then 9/sqrt(1 + 9): the unit is their mean, and weights stay at 1 through both."""
    excess = ExcessMTL(learning_rate=0.5, warmup=2)
    excess.combine([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(excess.combine([[3.0, 0.0], [0.0, 0.0]]).numpy(), [3, 0], rtol=1e-6)
    np.testing.assert_allclose(state(excess)["units"], [(1 + 9 / 10**0.5) / 2, 0.5], rtol=1e-6)


def test_excess_mtl_weight_can_come_back():
    """A rate of 1000 drives the second weight to e^-707, below the smallest float32; its logarithm brings it back."""
    excess = ExcessMTL(learning_rate=1000.0)
    for norms in ([1.0, 1.0], [1.0, 0.0], [0.0, 2.0], [0.0, 2.0]):
        result = excess.combine(np.diag(norms)).numpy()
        assert np.isfinite(state(excess)["log_weights"]).all()
    np.testing.assert_allclose(result, [0, 4], rtol=1e-6)


def test_gradnorm_by_hand():
    """Norms (3, 1): lengths above and below their mean 2, so Adam's first step is (-0.1, +0.1): w = (0.9, 1.1). Then
    norms (1, 1) and losses (1/2, 1) of the first: paces (2/3, 4/3), targets (2/3, 4/3), lengths (0.9, 1.1): slopes +1
    and -1 (without the pace they would be -1 and +1). Adam on slopes 3, 1: m = (0.9 * 0.3 + 0.1)/0.19,
    v = (0.999 * 0.009 + 0.001)/0.001999; on -1, -1: a full step."""
    gradnorm = GradNorm(alpha=1.0, learning_rate=0.1)
    np.testing.assert_allclose(weights_of(gradnorm, np.diag([3.0, 1.0]), [1.0, 2.0]), [1, 1], rtol=1e-6)
    np.testing.assert_allclose(weights_of(gradnorm, np.eye(2), [0.5, 2.0]), [0.9, 1.1], rtol=1e-6)
    moved = np.array([0.9 - 0.1 * (0.37 / 0.19) / (0.009991 / 0.001999) ** 0.5, 1.2])
    np.testing.assert_allclose(weights_of(gradnorm, np.eye(2), [0.5, 2.0]), 2 * moved / moved.sum(), rtol=1e-5)
    np.testing.assert_array_equal(state(gradnorm)["initial_losses"], [1, 2])


def test_gradnorm_makes_norms_equal_at_alpha_zero():
    """Norms 3 and 1: w = (1/2, 3/2) makes both lengths 3/2."""
    gradnorm = GradNorm(alpha=0.0)
    for _ in range(150):
        weights = weights_of(gradnorm, np.diag([3.0, 1.0]), [1.0, 1.0])
    np.testing.assert_allclose(weights, [0.5, 1.5], atol=0.05)


def test_gradnorm_takes_the_first_loss_a_task_ever_had():
    gradnorm = GradNorm()
    direction(gradnorm, np.array([4.0, 0.0]), np.eye(2), [True, False])
    direction(gradnorm, np.array([2.0, 7.0]), np.eye(2))
    np.testing.assert_array_equal(state(gradnorm)["initial_losses"], [4, 7])
    np.testing.assert_array_equal(state(gradnorm)["steps"], [2, 1])


# -- robust means --------------------------------------------------------------------------------------------------


def test_krum_adds_squares():
    """Two neighbours count. The close pair has 0.5 and 3, squares 0.25 + 9; the corners of the square have 2 and 2,
    squares 4 + 4. By plain sums the pair would win, 3.5 against 4. The first corner comes before its equals."""
    pair, square = [[-3.0, 0.0], [-3.0, 0.5]], [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]]
    np.testing.assert_array_equal(weights_of_points(Krum(byzantine=2), pair + square), [0, 0, 1, 0, 0, 0])


def weights_of_points(method, points, present=None):
    points = np.array(points)
    present = [True] * len(points) if present is None else present
    gramian = tf.constant(points @ points.T)
    return method.bind(len(points)).call(tf.ones(len(points)), gramian, tf.constant(present)).numpy()


def test_krum_with_absent_tasks():
    """Five tasks, the middle one absent. Four present, byzantine 1: one neighbour each, at 1, 1, 2, 2 (squares 1, 1, 4,
    4): the first two are taken. Two present: each has the other alone, both are taken."""
    points = [[0.0], [1.0], [0.5], [5.0], [7.0]]
    some = weights_of_points(Krum(1, selected=2), points, [True, True, False, True, True])
    np.testing.assert_array_equal(some, [0.5, 0.5, 0, 0, 0])
    few = weights_of_points(Krum(1, selected=3), points, [False, True, False, False, True])
    np.testing.assert_array_equal(few, [0, 0.5, 0, 0, 0.5])


def test_trimmed_mean_with_absent_tasks():
    """Trim 1. Three of four present: the median. Two present: nothing is dropped. One: itself."""
    rows = np.array([[1.0, 8.0], [2.0, 7.0], [50.0, -60.0], [6.0, 0.0]])
    for present, want in (
        ([True, True, False, True], [2, 7]),
        ([True, True, False, False], [1.5, 7.5]),
        ([False, False, False, True], [6, 0]),
    ):
        np.testing.assert_array_equal(direction(TrimmedMean(1), np.ones(4), rows, present), want)


# -- the simplex ---------------------------------------------------------------------------------------------------


def test_projection_is_the_nearest_point():
    """The nearest point p of the simplex to v has (v - p).(e_i - p) <= 0 for all its corners e_i."""
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 1e12):
        values = scale * rng.normal(size=7)
        present = np.array([True, False, True, True, True, False, True])
        point = simplex.project_to_simplex(tf.constant(values), tf.constant(present)).numpy()
        assert point.min() >= 0
        assert abs(point.sum() - 1) < 1e-12
        np.testing.assert_array_equal(point[~present], 0)
        corners = np.eye(7)[present] - point
        assert (corners @ np.where(present, values - point, 0)).max() <= 1e-12 * max(scale, 1)


def test_shares_start_equal_where_nothing_is_held():
    """A state of (0, 1, 0) with task 1 absent: the two others share equally, and still hold nothing afterwards."""
    held, present = tf.constant([0.0, 1.0, 0.0]), tf.constant([True, False, True])
    shares = simplex.shares_of(held, present)
    np.testing.assert_array_equal(shares, [0.5, 0, 0.5])
    np.testing.assert_array_equal(simplex.with_shares(held, shares, present), [0, 1, 0])


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        (
            lambda: GradVac(beta=2),
            "Expected a finite number between 0 and 1. Received: beta=2. Do pass beta=0.5.",
        ),
        (
            lambda: GradNorm(alpha=-1.0),
            "Expected a finite number of at least 0. Received: alpha=-1.0. Do pass alpha=1.5.",
        ),
        (
            lambda: MoDo(gamma=float("nan")),
            "Expected a finite number of at least 0. Received: gamma=nan. Do pass gamma=0.001.",
        ),
        (
            lambda: number("x", True, example=1.0, at_most=3),
            "Expected a finite number of at most 3. Received: x=True. Do pass x=1.0.",
        ),
        (
            lambda: PCGrad(seed=0.5),
            "Expected a whole number of at least 0. Received: seed=0.5. Do pass seed=0.",
        ),
        (
            lambda: Krum(selected=0),
            "Expected a whole number of at least 1. Received: selected=0. Do pass selected=1.",
        ),
        (
            lambda: Krum(byzantine=2).bind(4),
            "Expected at least byzantine + 3 = 5 tasks. Received: tasks=4, byzantine=2. "
            "Do pass a smaller byzantine or use another method.",
        ),
        (
            lambda: Krum(selected=5).bind(4),
            "Expected at most as many selected as tasks. Received: tasks=4, selected=5. Do pass less.",
        ),
        (
            lambda: TrimmedMean(2).bind(4),
            "Expected at least 2 trim + 1 = 5 tasks. Received: tasks=4, trim=2. Do pass a smaller trim.",
        ),
        (
            lambda: MoCo().bind(2),
            "Expected the number of shared parameters, which the state of MoCo is as wide as. "
            "Received: gradient_size=None. Do pass bind(tasks, gradient_size=P).",
        ),
    ],
)
def test_refusals(refused, text):
    with pytest.raises(ValueError, match="Expected") as error:
        refused()
    assert str(error.value) == text
