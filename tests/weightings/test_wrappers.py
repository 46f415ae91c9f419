"""Wrappers: what they do to a method, by hand and against the method itself, and what they refuse."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from mtl_keras import weightings
from mtl_keras.weightings.composed import Composed
from mtl_keras.weightings.dwa import DWA
from mtl_keras.weightings.every_n import EveryN
from mtl_keras.weightings.famo import FAMO
from mtl_keras.weightings.gls import GLS
from mtl_keras.weightings.graddrop import GradDrop
from mtl_keras.weightings.gradvac import GradVac
from mtl_keras.weightings.imtll import IMTLL
from mtl_keras.weightings.inverse_loss import InverseLoss
from mtl_keras.weightings.log_space import LogSpace
from mtl_keras.weightings.log_sum import LogSum
from mtl_keras.weightings.modo import MoDo
from mtl_keras.weightings.pbi import PBI
from mtl_keras.weightings.pcgrad import PCGrad
from mtl_keras.weightings.preference import Preference
from mtl_keras.weightings.random_gradient import RandomGradient
from mtl_keras.weightings.rlw import RLW
from mtl_keras.weightings.smoothed import Smoothed
from mtl_keras.weightings.static import Static
from mtl_keras.weightings.stch import STCH
from mtl_keras.weightings.trimmed_mean import TrimmedMean
from mtl_keras.weightings.uncertainty import Uncertainty

ROWS = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0], [1.0, -2.0, 0.5]])
LOSSES = [1.0, 2.0, 4.0]


def weights(method, losses, present=None):
    present = tf.ones(len(losses), tf.bool) if present is None else tf.constant(present)
    losses = tf.where(present, tf.constant(losses, tf.float32), 0.0)
    return np.array(method.bind(len(losses)).call(losses, present))


def gradient_weights(method, losses, present=None):
    present = tf.ones(len(losses), tf.bool) if present is None else tf.constant(present)
    losses = tf.where(present, tf.constant(losses, tf.float32), 0.0)
    rows = ROWS[: len(losses)] * np.array(present, float)[:, None]
    return np.array(method.bind(len(losses)).call(losses, tf.constant(rows @ rows.T), present))


def state(method):
    return {v.path: np.array(v) for v in method.variables}


# -- all wrappers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrapped", "reads", "scopes"),
    [
        (Smoothed(GLS()), "losses", ()),
        (Smoothed("pcgrad"), "gramian", ("parameters", "features", "last_layer")),
        (EveryN(MoDo()), "gramian", ("parameters", "last_layer")),
        (LogSpace(GradDrop()), "jacobian", ("parameters",)),
        (Composed(["gls", "graddrop"]), "jacobian", ("parameters",)),
        (Preference(STCH()), "losses", ()),
    ],
)
def test_needs_follow_the_inner_method(wrapped, reads, scopes):
    assert wrapped.reads == reads
    assert tuple(wrapped.scopes) == scopes
    assert wrapped.cost == wrapped.inner.cost
    assert wrapped.cross_gramian == wrapped.inner.cross_gramian


def test_other_needs_follow_too():
    assert Smoothed(FAMO()).second_forward
    assert Smoothed(FAMO()).positive_losses
    assert not Smoothed("pcgrad").needs_losses
    assert LogSpace("pcgrad").needs_losses
    assert LogSpace("pcgrad").positive_losses
    assert Composed(["gls", "pcgrad"]).positive_losses
    assert not Composed(["equal", "pcgrad"]).positive_losses
    assert EveryN("modo").cross_gramian


def test_nested_wrappers_come_back_from_their_config():
    method = Smoothed(EveryN(Composed([Smoothed(DWA(window=3)), LogSpace(GradVac(beta=0.3))]), n=3), beta=0.7)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(method)))
    again = weightings.get(config)
    assert again.get_config() == method.get_config()
    assert again.inner.n == 3
    assert again.inner.inner.inner.inner.beta == 0.3
    assert again.inner.inner.inners[0].inner.window == 3
    np.testing.assert_array_equal(again.combine(ROWS, LOSSES), method.combine(ROWS, LOSSES))


def test_reset_reaches_the_inner_state():
    method = Smoothed(EveryN(RandomGradient(), n=2))
    first = [method.combine(ROWS).numpy() for _ in range(4)]
    fresh = Smoothed(EveryN(RandomGradient(), n=2)).bind(3)
    method.reset()
    assert [v.tolist() for v in state(method).values()] == [v.tolist() for v in state(fresh).values()]
    np.testing.assert_array_equal([method.combine(ROWS).numpy() for _ in range(4)], first)


def test_epochs_and_second_looks_reach_the_inner_method():
    smoothed, famo = Smoothed(FAMO()).bind(2), FAMO().bind(2)
    for method in (smoothed, famo):
        method.after_step(tf.constant([1.0, 2.0]), tf.constant([0.5, 2.0]), tf.constant([True, True]))
    np.testing.assert_array_equal(smoothed.inner.logits, famo.logits)
    assert np.any(np.array(famo.logits) != 0)
    both = Composed([Smoothed(DWA()), "pcgrad"]).bind(2)
    for epoch in range(2):
        both.begin_epoch(epoch)
        gradient_weights(both, [4.0 / (1 + epoch), 1.0])
    both.begin_epoch(2)
    np.testing.assert_allclose(both.loss_weighting.inner.last_means, [2, 1])
    np.testing.assert_allclose(both.loss_weighting.inner.earlier_means, [4, 1])


# -- Smoothed ------------------------------------------------------------------------------------------------------


def test_smoothed_is_the_running_mean_of_the_weights():
    """1 / L of (1, 1/2, 1/4), then of (1/2, 2, 4): v = (1, 2, 4), then (2, 1/2, 1/4)."""
    smoothed = Smoothed("inverse_loss", beta=0.75)
    np.testing.assert_allclose(weights(smoothed, [1.0, 0.5, 0.25]), [1, 2, 4])
    second = 0.75 * np.array([1, 2, 4]) + 0.25 * np.array([2, 0.5, 0.25])
    np.testing.assert_allclose(weights(smoothed, [0.5, 2.0, 4.0]), second)
    np.testing.assert_allclose(weights(smoothed, [1.0, 1.0, 1.0]), 0.75 * second + 0.25)


def test_smoothed_between_its_ends():
    fresh, none, all_past = RLW(), Smoothed(RLW(), beta=0.0), Smoothed(RLW(), beta=1.0)
    first = weights(RLW(), LOSSES)
    for _ in range(3):
        np.testing.assert_array_equal(weights(none, LOSSES), weights(fresh, LOSSES))
        np.testing.assert_array_equal(weights(all_past, LOSSES), first)


def test_smoothed_task_that_comes_late_begins_with_its_own_weight():
    smoothed = Smoothed("inverse_loss", beta=0.5)
    np.testing.assert_allclose(weights(smoothed, [1.0, 9.0], [True, False]), [1, 0])
    np.testing.assert_allclose(weights(smoothed, [0.5, 0.25]), [1.5, 4])
    np.testing.assert_allclose(weights(smoothed, [9.0, 0.5], [False, True]), [0, 3])
    np.testing.assert_allclose(weights(smoothed, [0.5, 0.5]), [1.75, 2.5])


def test_smoothed_gradient_method():
    smoothed, plain = Smoothed("pcgrad", beta=0.5), PCGrad()
    first = plain.combine(ROWS).numpy()
    np.testing.assert_allclose(smoothed.combine(ROWS), first, rtol=1e-6)
    second = np.linalg.lstsq(ROWS.T, plain.combine(ROWS).numpy(), rcond=None)[0]
    expected = ROWS.T @ (0.5 * np.linalg.lstsq(ROWS.T, first, rcond=None)[0] + 0.5 * second)
    np.testing.assert_allclose(smoothed.combine(ROWS), expected, rtol=1e-5)


@pytest.mark.parametrize("wrap", [Smoothed, EveryN], ids=["smoothed", "every_n"])
def test_trained_weights_are_trained_as_without_the_wrapper(wrap):
    wrapped, plain = wrap(Uncertainty()).bind(3), Uncertainty().bind(3)
    present = tf.ones(3, tf.bool)
    for log_variances in ([0.0, 0.0, 0.0], [1.0, -1.0, 0.5]):
        slopes, applied = [], []
        for method, variable in ((wrapped, wrapped.inner.log_variances), (plain, plain.log_variances)):
            variable.assign(log_variances)
            with tf.GradientTape() as tape:
                found = method.call(tf.constant(LOSSES), present)
                total = tf.reduce_sum(found * LOSSES) + method.penalty(present)
            slopes.append(tape.gradient(total, variable.value).numpy())
            applied.append(found.numpy())
        np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-6)
    assert not np.allclose(applied[0], applied[1])


# -- LogSpace ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [PCGrad, GradVac, MoDo, GradDrop, lambda: TrimmedMean(1), Uncertainty], ids=range(6))
def test_log_space_is_the_method_on_log_losses(make):
    log_rows = ROWS / np.array(LOSSES)[:, None]
    np.testing.assert_allclose(
        LogSpace(make()).combine(ROWS, LOSSES), make().combine(log_rows, np.log(LOSSES)), rtol=1e-5
    )


def test_log_space_of_equal_weights_is_the_log_sum():
    np.testing.assert_array_equal(weights(LogSpace("equal"), LOSSES), weights(LogSum(), LOSSES))


def test_log_space_does_not_see_units():
    units = np.array([1e-4, 1.0, 1e5])
    for inner in ("pcgrad", "graddrop", "equal"):
        plain = LogSpace(inner).combine(ROWS, LOSSES).numpy()
        scaled = LogSpace(inner).combine(ROWS * units[:, None], LOSSES * units).numpy()
        np.testing.assert_allclose(scaled, plain, rtol=1e-5)


def test_log_space_trains_weights_on_log_losses():
    """d/ds of sum f e^-s log L + s/2 is 1/2 - e^-s log L, and the losses themselves get e^-s / L."""
    logs = LogSpace(Uncertainty()).bind(3)
    logs.inner.log_variances.assign([0.5, 0.0, -0.5])
    present = tf.ones(3, tf.bool)
    with tf.GradientTape() as tape:
        found = logs.call(tf.constant(LOSSES), present)
        total = tf.reduce_sum(found * LOSSES) + logs.penalty(present)
    powers = np.exp([-0.5, 0.0, 0.5])
    np.testing.assert_allclose(found, powers / LOSSES, rtol=1e-6)
    slope = tape.gradient(total, logs.inner.log_variances.value)
    np.testing.assert_allclose(slope, 0.5 - powers * np.log(LOSSES), rtol=1e-5)


# -- EveryN --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_every_n_skips_the_solve_in_between(how):
    """PCGrad counts its draws: a solve that is only discarded would count too."""
    every, plain = EveryN(PCGrad(), n=3).bind(3), PCGrad()
    gramian, present = tf.constant(ROWS @ ROWS.T), tf.ones(3, tf.bool)
    call = every.call if how == "eager" else tf.function(every.call, autograph=False, jit_compile=how == "xla")
    expected = [gradient_weights(plain, LOSSES) for _ in range(3)]
    for step in range(9):
        found = call(tf.constant(LOSSES), gramian, present)
        np.testing.assert_allclose(found, expected[step // 3], rtol=1e-6)
        assert int(every.inner.calls.numpy()) == step // 3 + 1


def test_every_one_is_the_method_itself():
    every, plain = EveryN(RLW(), n=1), RLW()
    for _ in range(4):
        np.testing.assert_array_equal(weights(every, LOSSES), weights(plain, LOSSES))


def test_every_n_solves_anew_when_other_tasks_are_present():
    """Weights of GLS for three tasks do not fit two of them, whose own have to come out."""
    every, plain, found = EveryN(GLS(), n=3), GLS(), None
    for losses, present, fresh in [
        ([1.0, 2.0, 4.0], [True, True, True], True),
        ([3.0, 2.0, 4.0], [True, True, True], False),
        ([1.0, 0.0, 3.0], [True, False, True], True),
        ([9.0, 0.0, 3.0], [True, False, True], False),
        ([9.0, 0.0, 1.0], [True, False, True], False),
        ([9.0, 0.0, 2.0], [True, False, True], True),
        ([1.0, 5.0, 3.0], [True, True, True], True),
    ]:
        own = weights(plain, losses, present)
        expected = own if fresh else found
        found = weights(every, losses, present)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


# -- Preference ----------------------------------------------------------------------------------------------------


def test_preference_is_the_argument_of_the_method():
    wanted = {"a": 3.0, "b": 1.0}
    for cls in (STCH, PBI):
        wrapped, plain = Preference(cls(), wanted).bind(["a", "b"]), cls(preference=wanted).bind(["a", "b"])
        call = [tf.constant([1.0, 2.0]), tf.constant([True, True])]
        np.testing.assert_array_equal(wrapped.call(*call), plain.call(*call))
    again = weightings.get(json.loads(json.dumps(keras.saving.serialize_keras_object(Preference(STCH(0.5), wanted)))))
    assert again.inner.preference == wanted
    assert again.inner.mu == 0.5


# -- Composed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pcgrad", "graddrop", "modo", "gradvac"])
@pytest.mark.parametrize("turned", [False, True])
def test_composed_is_the_method_on_scaled_losses(method, turned):
    parts = [method, "inverse_loss"] if turned else ["inverse_loss", method]
    scaled = ROWS / np.array(LOSSES)[:, None]
    expected = weightings.get(method).combine(scaled, np.ones(3))
    np.testing.assert_allclose(Composed(parts).combine(ROWS, LOSSES), expected, rtol=1e-5)


def test_composed_loss_factors_are_those_of_the_call_and_move_nothing():
    both, alone = Composed([RLW(seed=4), "random_gradient"]).bind(3), RLW(seed=4)
    losses, present = tf.constant(LOSSES), tf.ones(3, tf.bool)
    for _ in range(3):
        before = state(both)
        factors = both.loss_factors(losses, present)
        for path, value in state(both).items():
            np.testing.assert_array_equal(value, before[path])
        np.testing.assert_array_equal(factors, weights(alone, LOSSES))
        both.call(losses, tf.constant(ROWS @ ROWS.T), present)


def test_composed_trained_factors_are_differentiable():
    """IMTL-L: d/ds of sum e^s L - s at s = 0 is L - 1."""
    both = Composed([IMTLL(), "pcgrad"]).bind(3)
    present = tf.ones(3, tf.bool)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(both.loss_factors(tf.constant(LOSSES), present) * LOSSES) + both.penalty(present)
    (slope,) = tape.gradient(total, [v.value for v in both.trainable_variables])
    np.testing.assert_allclose(slope, np.array(LOSSES) - 1, rtol=1e-6)


def test_wrappers_hand_loss_factors_on():
    losses, present = tf.constant(LOSSES), tf.ones(3, tf.bool)
    inner = Composed([Static({"task0": 1.0, "task1": 2.0, "task2": 0.5}), "pcgrad"])
    np.testing.assert_allclose(Smoothed(inner).bind(3).loss_factors(losses, present), [1, 2, 0.5])
    np.testing.assert_allclose(LogSpace(inner).bind(3).loss_factors(losses, present), np.array([1, 2, 0.5]) / LOSSES)
    assert EveryN("pcgrad").bind(3).loss_factors(losses, present) is None


# -- errors --------------------------------------------------------------------------------------------------------

ERRORS = [
    (
        lambda: Smoothed("graddrop"),
        "Expected a method that gives weights, which can be smoothed; an aggregator gives a direction. "
        "Received: inner='graddrop'. Do choose one that reads losses or the Gramian.",
    ),
    (
        lambda: EveryN("trimmed_mean"),
        "Expected a method that gives weights, which can be used again; an aggregator gives a direction. "
        "Received: inner='trimmed_mean'. Do choose one that reads losses or the Gramian.",
    ),
    (
        lambda: Smoothed(beta=1.5),
        "Expected a finite number between 0 and 1. Received: beta=1.5. Do pass beta=0.9.",
    ),
    (lambda: EveryN(n=0), "Expected a whole number of at least 1. Received: n=0. Do pass n=5."),
    (
        lambda: LogSpace(GLS()),
        "Expected a method that goes with log-losses, which can be negative. Received: inner='gls'. "
        "Do use it without LogSpace.",
    ),
    (
        lambda: LogSpace(LogSpace("pcgrad")),
        "Expected a method that goes with log-losses, which can be negative. Received: inner='log_space'. "
        "Do use it without LogSpace.",
    ),
    (
        lambda: Preference("pcgrad", {"a": 1.0}),
        "Expected a method that knows a preference among tasks. Received: inner='pcgrad'. "
        "Do scale the losses with compile(loss_weights={...}) instead.",
    ),
    (
        lambda: Composed(["pcgrad", "gradvac"]),
        "Expected one weighting that reads losses and one that reads gradients. Received: parts=['pcgrad', 'gradvac']. "
        'Do pass two, e.g. ["uncertainty", "pcgrad"].',
    ),
    (
        lambda: Composed(["equal", "dwa", "pcgrad"]),
        "Expected one weighting that reads losses and one that reads gradients. "
        "Received: parts=['equal', 'dwa', 'pcgrad']. Do pass two, e.g. [\"uncertainty\", \"pcgrad\"].",
    ),
    (
        lambda: Composed("pcgrad"),
        "Expected one weighting that reads losses and one that reads gradients. Received: parts='pcgrad'. "
        'Do pass two, e.g. ["uncertainty", "pcgrad"].',
    ),
    (
        lambda: Composed(["pcgrad", FAMO()]),
        "Expected a loss weighting without a second forward pass and without validation batches. "
        "Received: parts=['famo', 'pcgrad']. Do use 'famo' alone.",
    ),
]


@pytest.mark.parametrize(("make", "expected"), ERRORS, ids=range(len(ERRORS)))
def test_errors_word_for_word(make, expected):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make()
    assert str(error.value) == expected


# -- inside training -----------------------------------------------------------------------------------------------


def test_state_inside_wrappers_survives_saving(tmp_path):
    model = tiny.model()
    method = Composed([Smoothed(InverseLoss(), beta=0.5), EveryN(GradVac(), n=2)])
    model.compile("sgd", loss=tiny.LOSSES, weighting=method, scope="features")
    model.fit(tiny.dataset(*tiny.arrays(48)), epochs=1, verbose=0)
    assert int(method.inner.inner.calls.numpy()) == 2
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.weighting.get_config() == method.get_config()
    saved, loaded = state(method), state(again.weighting)
    assert len(saved) == len(loaded) == 7
    for path, value in saved.items():
        np.testing.assert_array_equal(loaded[path], value, err_msg=path)
