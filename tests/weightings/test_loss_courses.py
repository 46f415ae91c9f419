"""Loss weightings that follow the course of the losses: epochs, windows, running statistics, second looks."""

import numpy as np
import tensorflow as tf
from loss_cases import LOSSES, epoch, weights

from mtl_keras.weightings.cov import CoV
from mtl_keras.weightings.dwa import DWA
from mtl_keras.weightings.famo import FAMO
from mtl_keras.weightings.stch import STCH

# -- DWA -----------------------------------------------------------------------------------------------------------


def test_dwa_of_two_epochs():
    """Means (2, 2, 1) then (2, 1, 2): r = (1, 1/2, 2); weights 3 softmax(r / 2), as published."""
    dwa = DWA()
    np.testing.assert_allclose(epoch(dwa, 0, [[1.0, 3.0, 1.0], [3.0, 1.0, 1.0]]), 1, rtol=1e-6)
    np.testing.assert_allclose(epoch(dwa, 1, [[2.0, 1.0, 3.0], [2.0, 1.0, 1.0]]), 1, rtol=1e-6)
    np.testing.assert_allclose(epoch(dwa, 2, [[9.0, 9.0, 9.0]])[0], [0.8753, 0.6817, 1.4431], atol=5e-5)
    # the third epoch's mean is 9 for all: r = 9 / (2, 1, 2)
    powers = np.exp([2.25, 4.5, 2.25])
    np.testing.assert_allclose(epoch(dwa, 0, [[1.0, 1.0, 1.0]])[0], 3 * powers / powers.sum(), rtol=1e-6)


def test_dwa_goes_on_where_fit_is_called_again():
    """Each fit counts its epochs from 0; what counts is what was seen."""
    dwa = DWA()
    for _ in range(2):
        epoch(dwa, 0, [[1.0, 1.0]])
    np.testing.assert_allclose(epoch(dwa, 0, [[1.0, 1.0]])[0], 1)
    epoch(dwa, 1, [[1.0, 3.0]])
    powers = np.exp([0.5, 1.5])
    np.testing.assert_allclose(epoch(dwa, 2, [[1.0, 1.0]])[0], 2 * powers / powers.sum(), rtol=1e-6)


def test_dwa_of_a_task_that_skips_an_epoch():
    """An epoch without labels does not count for the task; the others share out the weight 2 among themselves."""
    dwa = DWA().bind(3)
    for number, present in enumerate([[True] * 3, [True, False, True], [True] * 3]):
        dwa.begin_epoch(number)
        weights(dwa, [[1.0, 4.0, 1.0], [1.0, 0.0, 2.0], [1.0, 2.0, 2.0]][number], present)
    dwa.begin_epoch(3)
    powers = np.exp(np.array([1.0, 0.5, 1.0]) / 2)
    np.testing.assert_allclose(weights(dwa, [1.0, 1.0, 1.0]), 3 * powers / powers.sum(), rtol=1e-6)
    two = powers[[0, 1]]
    np.testing.assert_allclose(
        weights(dwa, [1.0, 1.0, 1.0], [True, True, False]), [*(2 * two / two.sum()), 0], rtol=1e-6
    )


def test_dwa_by_windows():
    """Losses 8, 4, 2, 1 of the first task: means of two (3/2) over those before (6); the second stays at 1."""
    dwa = DWA(window=2)
    for loss in (8.0, 4.0, 2.0):
        np.testing.assert_allclose(weights(dwa, [loss, 1.0]), 1, rtol=1e-6)
    powers = np.exp([0.25 / 2, 0.5])
    np.testing.assert_allclose(weights(dwa, [1.0, 1.0]), 2 * powers / powers.sum(), rtol=1e-6)
    # a batch without the first task does not move its windows; then they slide by one: (2, 1, 1), 1 / 3
    weights(dwa, [0.0, 1.0], [False, True])
    powers = np.exp([1 / 6, 0.5])
    np.testing.assert_allclose(weights(dwa, [1.0, 1.0]), 2 * powers / powers.sum(), rtol=1e-6)


# -- CoV -----------------------------------------------------------------------------------------------------------


def test_cov_against_its_definition_on_the_whole_history():
    rng = np.random.default_rng(0)
    history = rng.uniform(0.5, 2.0, (8, 3)).astype("float32")
    cov = CoV()
    for t, losses in enumerate(history):
        found = weights(cov, losses)
        ratios = np.array([history[i] / history[:i].mean(0) if i else np.ones(3) for i in range(t)])
        if t < 2:
            np.testing.assert_allclose(found, 1 / 3, rtol=1e-6)
            continue
        coefficients = np.sqrt(ratios.var(0) + 1e-8) / ratios.mean(0)
        np.testing.assert_allclose(found, coefficients / coefficients.sum(), rtol=1e-4)


def test_cov_prefers_the_task_that_varies():
    cov = CoV()
    for t in range(10):
        found = weights(cov, [1.0 + 0.5 * (-1) ** t, 1.0 + 0.05 * (-1) ** t])
    assert found[0] > 0.8
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-6)


# -- STCH ----------------------------------------------------------------------------------------------------------


def test_stch_by_the_size_of_mu():
    """Small: only the worst task, with its preference 1/3. Large: all alike, 1/9 each."""
    np.testing.assert_allclose(weights(STCH(mu=0.01), LOSSES), [0, 0, 1 / 3], atol=1e-6)
    np.testing.assert_allclose(weights(STCH(mu=1e6), LOSSES), 1 / 9, rtol=1e-5)


def test_stch_with_absent_task_is_that_of_the_others():
    alone = weights(STCH(preference=[3.0, 2.0]), [1.0, 4.0])
    found = weights(STCH(preference=[3.0, 9.0, 2.0]), [1.0, 7.0, 4.0], [True, False, True])
    np.testing.assert_allclose(found, [alone[0], 0, alone[1]], rtol=1e-6)


def test_stch_with_warm_up():
    """Warm-up epochs 0 and 1: 1 / L. The nadir is the mean of epoch 1: (2, 1). Then K softmax(log(L / n) / mu) / L: at
    L = (4, 1) and mu = 1/2 the softmax is of log((2, 1)) 2, so (4, 1) / 5, and weights (8/5) / 4 and (2/5) / 1."""
    stch = STCH(mu=0.5, warmup_epochs=1)
    np.testing.assert_allclose(epoch(stch, 0, [[9.0, 5.0]])[0], [1 / 9, 1 / 5], rtol=1e-6)
    np.testing.assert_allclose(epoch(stch, 1, [[1.0, 0.5], [3.0, 1.5]]), [[1, 2], [1 / 3, 2 / 3]], rtol=1e-6)
    for _ in range(2):
        np.testing.assert_allclose(epoch(stch, 2, [[4.0, 1.0]])[0], [0.4, 0.4], rtol=1e-5)


def test_stch_task_that_missed_the_epoch_of_its_nadir():
    """It takes its first batch after that: L / n = 1 there."""
    stch = STCH(warmup_epochs=0).bind(2)
    stch.begin_epoch(0)
    weights(stch, [2.0, 0.0], [True, False])
    stch.begin_epoch(1)
    np.testing.assert_allclose(weights(stch, [2.0, 4.0]), [1 / 2, 1 / 4], rtol=1e-6)
    np.testing.assert_allclose(weights(stch, [2.0, 8.0]), [2 / 3 / 2, 4 / 3 / 8], rtol=1e-6)


def test_stch_without_epochs_stays_in_its_warm_up():
    stch = STCH(warmup_epochs=0)
    for _ in range(3):
        np.testing.assert_allclose(weights(stch, LOSSES), 1 / np.array(LOSSES), rtol=1e-6)


# -- FAMO ----------------------------------------------------------------------------------------------------------


def after(famo, before, now, present=None):
    present = np.ones(len(before), bool) if present is None else np.asarray(present)
    famo.bind(len(before))
    famo.after_step(tf.constant(before), tf.constant(now), tf.constant(present))
    return np.array(famo.logits)


def test_famo_first_step_of_the_logits():
    """L = (1, 2, 4) fall to (1/2, 2, 4): delta = (log 2, 0, 0), slope z (delta - mean) = (2, -1, -1) log 2 / 9; the
    first step of Adam is the learning rate against the slope's sign."""
    famo = FAMO(decay=0.0)
    np.testing.assert_allclose(after(famo, LOSSES, [0.5, 2.0, 4.0]), [-0.025, 0.025, 0.025], rtol=1e-5)
    assert weights(famo, [1.0, 1.0, 1.0])[0] < 1 / 3


def adam(slopes, rate):
    value, first, second = np.zeros(3), np.zeros(3), np.zeros(3)
    for t, slope_of in enumerate(slopes, 1):
        g = slope_of(value)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        value = value - rate * first / (1 - 0.9**t) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    return value


def test_famo_against_adam_on_its_definition():
    rng = np.random.default_rng(5)
    pairs = rng.uniform(0.2, 2.0, (6, 2, 3)).astype("float32")
    famo = FAMO(learning_rate=0.1, decay=0.2)

    def slope_of(before, now):
        def at(logits):
            z = np.exp(logits) / np.exp(logits).sum()
            jacobian = np.diag(z) - np.outer(z, z)
            return jacobian.T @ (np.log(before) - np.log(now)) + 0.2 * logits

        return at

    for before, now in pairs:
        found = after(famo, before, now)
    np.testing.assert_allclose(found, adam([slope_of(*pair) for pair in pairs], 0.1), rtol=1e-4)


def test_famo_with_absent_task_is_that_of_the_others():
    together, alone = FAMO(), FAMO()
    present = [True, False, True]
    for now in ([0.5, 0.0, 4.0], [0.25, 0.0, 3.0]):
        found = after(together, [1.0, 0.0, 4.0], now, present)
        expected = after(alone, [1.0, 4.0], [now[0], now[2]])
    np.testing.assert_allclose(found, [expected[0], 0, expected[1]], rtol=1e-5)
    found = weights(together, [1.0, 0.0, 4.0], present)
    np.testing.assert_allclose(found[[0, 2]], weights(alone, [1.0, 4.0]), rtol=1e-6)


def test_famo_takes_negative_losses_above_their_least():
    """D = L - b: losses (-20, -19, -17) above -21 are as 1, 2, 4 above 0."""
    np.testing.assert_allclose(
        weights(FAMO(min_losses=-21.0), [-20.0, -19.0, -17.0]), weights(FAMO(), LOSSES), rtol=1e-5
    )
    assert np.isfinite(weights(FAMO(min_losses=2.0), LOSSES)).all()
