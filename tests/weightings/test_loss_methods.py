"""Loss weightings: published values, values worked by hand, and what each of them promises."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from loss_cases import LOSSES, weights

from mtl_keras.weightings.complementary import Complementary
from mtl_keras.weightings.cov import CoV
from mtl_keras.weightings.dwa import DWA
from mtl_keras.weightings.equal import Equal
from mtl_keras.weightings.famo import FAMO
from mtl_keras.weightings.gls import GLS
from mtl_keras.weightings.imtll import IMTLL
from mtl_keras.weightings.inverse_loss import InverseLoss
from mtl_keras.weightings.log_sum import LogSum
from mtl_keras.weightings.pbi import PBI
from mtl_keras.weightings.revised_uncertainty import RevisedUncertainty
from mtl_keras.weightings.rlw import RLW
from mtl_keras.weightings.soft_inverse_loss import SoftInverseLoss
from mtl_keras.weightings.stch import STCH
from mtl_keras.weightings.uncertainty import Uncertainty


def slope(function, losses):
    """The gradient of a function of the losses, float64."""
    losses = tf.constant(losses, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(losses)
        value = function(losses)
    return tape.gradient(value, losses).numpy()


# -- published values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (GLS(), [0.6667, 0.3333, 0.1667]),
        (SoftInverseLoss(1.0), [0.4810, 0.2918, 0.2272]),
        (STCH(1.0), [0.0652, 0.0910, 0.1772]),
        (FAMO(), [0.5714, 0.2857, 0.1429]),
        (InverseLoss(), [1.0, 0.5, 0.25]),
        (Uncertainty(classification_factor=0.5), [0.5, 0.5, 0.5]),
        (Equal(), [1.0, 1.0, 1.0]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_weights_for_losses_1_2_4(method, expected):
    np.testing.assert_allclose(weights(method, LOSSES), expected, atol=5e-5)


def test_totals_for_losses_1_2_4():
    """GLS: 8^(1/3). UW at s = 0: 7/2; at s = -1/2: 7/2 e^(1/2) - 3/4."""
    np.testing.assert_allclose(GLS().bind(3).total(LOSSES), 2.0, rtol=1e-6)
    np.testing.assert_allclose(Uncertainty(classification_factor=0.5).bind(3).total(LOSSES), 3.5, rtol=1e-6)
    halved = Uncertainty(initial_log_variance=-0.5, classification_factor=0.5).bind(3)
    np.testing.assert_allclose(halved.total(LOSSES), 5.0205, atol=5e-5)
    np.testing.assert_allclose(IMTLL().bind(3).total(LOSSES), 7.0, rtol=1e-6)


# -- the weights are the gradient of the method's total ------------------------------------------------------------


def smooth_maximum(losses, mu, preference, ideal):
    return mu * tf.reduce_logsumexp(preference * (losses - ideal) / mu)


def boundary_intersection(losses, theta, preference, ideal):
    u = preference / np.linalg.norm(preference)
    along = tf.reduce_sum((losses - ideal) * u)
    return along + theta * tf.norm(losses - ideal - along * u)


PREFERENCE, IDEAL = np.array([0.5, 0.3, 0.2]), np.array([0.5, 0.0, -1.0])
GRADIENTS = {
    "log_sum": (LogSum(), lambda x: tf.reduce_sum(tf.math.log(x))),
    "log_sum log1p": (LogSum("log1p"), lambda x: tf.reduce_sum(tf.math.log(1 + x))),
    "inverse_loss": (InverseLoss(), lambda x: tf.reduce_sum(tf.math.log(x))),
    "gls": (GLS(), lambda x: tf.reduce_prod(x) ** (1 / 3)),
    "stch": (
        STCH(0.3, preference=[5.0, 3.0, 2.0], ideal=list(IDEAL)),
        lambda x: smooth_maximum(x, 0.3, PREFERENCE, IDEAL),
    ),
    "pbi": (
        PBI(2.0, preference=list(PREFERENCE), ideal=list(IDEAL)),
        lambda x: boundary_intersection(x, 2.0, PREFERENCE, IDEAL),
    ),
    "pbi default": (PBI(), lambda x: boundary_intersection(x, 5.0, np.ones(3), 0.0)),
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_weights_are_the_gradient_of_the_total(case):
    method, total = GRADIENTS[case]
    for losses in (LOSSES, [0.1, 3.0, 0.7], [50.0, 0.01, 1.0]):
        np.testing.assert_allclose(weights(method, losses), slope(total, losses), rtol=2e-5, atol=1e-7)


def test_famo_weights_are_the_gradient_of_its_total():
    """z D-logs over a constant: sum z log D / sg(sum z / D)."""
    famo = FAMO(min_losses=[0.5, 0.0, -1.0]).bind(3)
    famo.logits.assign([0.3, -0.2, 0.1])
    z = np.exp([0.3, -0.2, 0.1]) / np.sum(np.exp([0.3, -0.2, 0.1]))

    def total(losses):
        above = losses - np.array([0.5, 0.0, -1.0]) + 1e-8
        return tf.reduce_sum(z * tf.math.log(above)) / tf.stop_gradient(tf.reduce_sum(z / above))

    np.testing.assert_allclose(weights(famo, LOSSES), slope(total, LOSSES), rtol=1e-5)


# -- trained weights -----------------------------------------------------------------------------------------------


def trained_slope(method, losses):
    with tf.GradientTape() as tape:
        total = method.total(losses)
    return tape.gradient(total, method.trainable_variables[0].value).numpy()


def test_imtll_is_twice_uncertainty_with_the_sign_turned():
    """2 (1/2 e^(s') L + s'/2) at s' = -s of UW; so totals are equal and slopes are equal and opposite."""
    scales = np.array([0.3, -1.0, 2.0], "float32")
    imtll, uw = IMTLL().bind(3), Uncertainty(classification_factor=0.5).bind(3)
    imtll.log_scales.assign(scales)
    uw.log_variances.assign(-scales)
    np.testing.assert_allclose(imtll.total(LOSSES), 2 * uw.total(LOSSES), rtol=1e-6)
    np.testing.assert_allclose(weights(imtll, LOSSES), 2 * weights(uw, LOSSES), rtol=1e-6)
    np.testing.assert_allclose(trained_slope(imtll, LOSSES), -2 * trained_slope(uw, LOSSES), rtol=1e-5)


def test_imtll_rests_where_every_weighted_loss_is_one():
    imtll = IMTLL().bind(3)
    imtll.log_scales.assign(-np.log(LOSSES))
    np.testing.assert_allclose(trained_slope(imtll, LOSSES), 0, atol=1e-6)
    np.testing.assert_allclose(weights(imtll, LOSSES) * LOSSES, 1, rtol=1e-6)


def test_revised_uncertainty_by_hand():
    """sigma^2 = e^s: total sum L / (2 sigma^2) + log(1 + sigma^2), never below 0; slope -L e^-s / 2 + sigmoid(s)."""
    method = RevisedUncertainty(initial_log_variance=np.log(3.0)).bind(3)
    np.testing.assert_allclose(method.total(LOSSES), 7 / 6 + 3 * np.log(4), rtol=1e-6)
    np.testing.assert_allclose(trained_slope(method, LOSSES), -np.array(LOSSES) / 6 + 3 / 4, rtol=1e-5)
    method.log_variances.assign([-30.0, -30.0, -30.0])
    assert method.total([0.0, 0.0, 0.0]) >= 0


@pytest.mark.parametrize("method", [IMTLL(), RevisedUncertainty(), Uncertainty()], ids=lambda m: m.name)
def test_trained_variables_are_what_an_optimizer_minimises(method):
    """Two hundred steps of Adam come nearer to the least total than the start, and stay finite."""
    method.bind(3)
    optimizer = keras.optimizers.Adam(0.05)
    before = float(method.total(LOSSES))
    for _ in range(200):
        optimizer.apply([trained_slope(method, LOSSES)], method.trainable_variables)
    assert float(method.total(LOSSES)) < before
    np.testing.assert_allclose(trained_slope(method, LOSSES), 0, atol=0.02)


# -- methods that divide -------------------------------------------------------------------------------------------


def test_gls_holds_where_a_product_would_overflow():
    """40 losses of 1e30 and of 1e-10: the products are beyond float32, the means are not."""
    for loss in (1e30, 1e-10):
        np.testing.assert_allclose(weights(GLS(), [loss] * 40), 1 / 40, rtol=1e-4)


def test_logarithms_take_the_unit_out():
    for method in (LogSum(), InverseLoss(), GLS()):
        scaled = np.array(LOSSES) * [1e-3, 1.0, 1e3]
        shares = weights(method, scaled) * scaled
        np.testing.assert_allclose(shares, shares[0], rtol=1e-6)


def test_losses_of_zero_count_as_the_smallest():
    for method in (LogSum(), InverseLoss(), SoftInverseLoss(), GLS(), CoV(), DWA(), FAMO(), STCH(warmup_epochs=0)):
        assert np.isfinite(weights(method, [0.0, 1.0, 2.0])).all(), method.name


def test_who_asks_for_positive_losses():
    asking = [InverseLoss(), SoftInverseLoss(), LogSum(), GLS(), DWA(), CoV(), FAMO(), STCH(warmup_epochs=4)]
    assert all(method.positive_losses for method in asking)
    others = [STCH(), PBI(), Complementary(), RLW(), IMTLL(), RevisedUncertainty(), FAMO(min_losses={"a": -21.0})]
    assert not any(method.positive_losses for method in others)


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_temperature_of_soft_inverse_loss(temperature):
    powers = np.exp(1 / (temperature * np.array(LOSSES)))
    np.testing.assert_allclose(weights(SoftInverseLoss(temperature), LOSSES), powers / powers.sum(), rtol=1e-6)
    np.testing.assert_allclose(weights(SoftInverseLoss(temperature), [1e-12, 1.0, 1.0]), [1, 0, 0], atol=1e-12)


# -- draws ---------------------------------------------------------------------------------------------------------


def test_rlw_draws_anew_repeats_by_seed_and_shares_out_among_the_present():
    def drawn(seed):
        method = RLW(seed=seed)
        return [weights(method, LOSSES) for _ in range(3)]

    first = drawn(1)
    np.testing.assert_array_equal(drawn(1), first)
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(first[0], drawn(2)[0])
    np.testing.assert_allclose(np.sum(first, 1), 1, rtol=1e-6)
    alone = weights(RLW(seed=1), LOSSES, [True, False, True])
    np.testing.assert_allclose(alone, first[0] * [1, 0, 1] / (first[0][0] + first[0][2]), rtol=1e-6)


def test_rlw_is_the_softmax_of_normal_numbers():
    """log w_1 - log w_2 of a softmax of two independent normal numbers has mean 0 and variance 2."""
    method = RLW()
    drawn = np.log([weights(method, [1.0, 1.0]) for _ in range(600)])
    difference = drawn[:, 0] - drawn[:, 1]
    assert abs(difference.mean()) < 0.2
    assert 1.6 < difference.var() < 2.4


# -- PBI and Complementary -----------------------------------------------------------------------------------------


def test_pbi_on_its_line_is_the_wanted_direction():
    np.testing.assert_allclose(weights(PBI(), [0.1, 0.1, 0.1]), 1 / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(weights(PBI(preference=[1, 2]), [3.0, 6.0]), np.array([1, 2]) / np.sqrt(5), rtol=1e-6)


def test_pbi_gives_up_what_a_task_is_ahead():
    """f = (1, 3), u = (1, 1) / sqrt 2: f - d1 u = (-1, 1), so w = (1 -+ theta) / sqrt 2."""
    np.testing.assert_allclose(weights(PBI(5.0), [1.0, 3.0]), np.array([-4, 6]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(weights(PBI(0.0), [1.0, 3.0]), np.array([1, 1]) / np.sqrt(2), rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 0.9])
def test_complementary_two_task_rule_as_stated(alpha):
    for one, two in ((0.2, 0.7), (0.0, 1.0), (1.5, 0.5), (0.5, 3.0)):
        stated = [alpha * (1 - two) / (1 - alpha), (1 - alpha) * (1 - one) / (1 - alpha)]
        np.testing.assert_allclose(weights(Complementary(alpha), [one, two]), np.maximum(stated, 0), atol=1e-6)


def test_complementary_of_more_tasks():
    """alpha 3/4, others' means of (0.2, 0.4, 0.6): 0.5, 0.4, 0.3; the first task's factor is 3, the others' 1."""
    method = Complementary(0.75)
    np.testing.assert_allclose(weights(method, [0.2, 0.4, 0.6]), [1.5, 0.6, 0.7], rtol=1e-6)
    np.testing.assert_allclose(weights(method, [0.2, 0.4, 0.6], [True, False, True]), [1.2, 0, 0.8], rtol=1e-6)
    np.testing.assert_allclose(weights(method, [0.2, 0.4, 0.6], [False, False, True]), [0, 0, 1], rtol=1e-6)


def test_complementary_stops_where_all_losses_are_large():
    """Ten classes at the start: log 10 for every task. Documented, and here held as it is."""
    np.testing.assert_array_equal(weights(Complementary(), [np.log(10)] * 3), 0)


# -- errors --------------------------------------------------------------------------------------------------------

ERRORS = [
    (
        lambda: Uncertainty(initial_log_variance=float("nan")),
        "Expected a finite number. Received: initial_log_variance=nan. Do pass initial_log_variance=0.0.",
    ),
    (
        lambda: Uncertainty(classification_factor=-1),
        "Expected a finite number of at least 0. Received: classification_factor=-1. Do pass "
        "classification_factor=1.0.",
    ),
    (
        lambda: SoftInverseLoss(0.0),
        "Expected a temperature above 0. Received: temperature=0.0. Do pass temperature=1.0.",
    ),
    (lambda: DWA(0), "Expected a temperature above 0. Received: temperature=0. Do pass temperature=2.0."),
    (lambda: DWA(window=0), "Expected a whole number of at least 1. Received: window=0. Do pass window=25."),
    (lambda: LogSum("ln"), "Expected a form among ['log', 'log1p']. Received: form='ln'. Do choose one."),
    (lambda: STCH(mu=0.0), "Expected mu above 0. Received: mu=0.0. Do pass mu=1.0."),
    (
        lambda: STCH(warmup_epochs=4, preference={"a": 1}),
        "Expected no preference and no ideal with warm-up, where the nadir takes their place. Received: "
        "preference={'a': 1}, ideal=0.0. Do leave them or warmup_epochs out.",
    ),
    (
        lambda: STCH(preference=[0.0, 0.0]),
        "Expected a preference of at least 0 for each task, not all of them 0. Received: preference=[0.0, 0.0]. "
        'Do pass preference={"age": 1.0, "gender": 2.0}.',
    ),
    (
        lambda: PBI(preference=[1.0, -1.0]),
        "Expected a finite number of at least 0.0. Received: preference[1]=-1.0. Do pass preference[1]=1.0.",
    ),
    (
        lambda: PBI(preference={"a": 1.0, "c": 1.0}).bind(["a", "b"]),
        "Expected preference with one number for each of ['a', 'b']. Received: preference={'a': 1.0, 'c': 1.0}. "
        "Do name every task once.",
    ),
    (
        lambda: PBI(ideal=[1.0, 2.0, 3.0]).bind(["a", "b"]),
        "Expected ideal with one number for each of ['a', 'b']. Received: ideal=[1.0, 2.0, 3.0]. "
        "Do pass as many, or a dict by task name.",
    ),
    (
        lambda: FAMO(min_losses=float("nan")),
        "Expected a finite number. Received: min_losses=nan. Do pass min_losses=0.0.",
    ),
    (lambda: FAMO(decay=-1), "Expected a finite number of at least 0. Received: decay=-1. Do pass decay=0.001."),
    (
        lambda: Complementary(1.0),
        "Expected alpha below 1, which 1 - alpha divides. Received: alpha=1.0. Do pass alpha=0.5.",
    ),
]


@pytest.mark.parametrize(("make", "expected"), ERRORS, ids=range(len(ERRORS)))
def test_errors_word_for_word(make, expected):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make()
    assert str(error.value) == expected


def test_numbers_by_task_name_find_their_task():
    by_name = STCH(preference={"b": 1.0, "a": 3.0}, ideal={"a": 0.5, "b": 0.0}).bind(["a", "b"])
    by_place = STCH(preference=[3.0, 1.0], ideal=[0.5, 0.0]).bind(["a", "b"])
    losses, present = tf.constant([1.0, 2.0]), tf.constant([True, True])
    np.testing.assert_array_equal(by_name.call(losses, present), by_place.call(losses, present))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(by_name))
    np.testing.assert_array_equal(again.bind(["a", "b"]).call(losses, present), by_name.call(losses, present))
