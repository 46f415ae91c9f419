"""What the papers promise of their methods, on hard matrices and on matrices that hypothesis looks for."""

import hypothesis
import numpy as np
import promises
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matrix_cases import families, solve

from mtl_keras import weightings

# methods whose weights follow from the Gramian alone, with how the direction grows with all gradients
POWERS = {
    "mgda": 1.0,
    "imtlg": 1.0,
    "cagrad": 1.0,
    "nash_mtl": 0.0,
    "fairgrad": 0.0,
    "aligned_mtl": 1.0,
    "upgrad": 1.0,
    "dual_proj": 1.0,
    "con_fig": 1.0,
}
HARM_NONE = ("mgda", "upgrad", "dual_proj", "nash_mtl")
every_method = pytest.mark.parametrize("name", POWERS)
CASES = list(families(2, 4))
# gradients of two to seven tasks that neither vanish nor differ in length beyond what float64 can add up
jacobians = hnp.arrays(
    "float64",
    st.tuples(st.integers(2, 7), st.integers(4, 8)),
    elements=st.one_of(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-10, 10, allow_subnormal=False)),
).filter(lambda rows: (np.linalg.norm(rows, axis=1) > 1e-3).all())
found_by_hypothesis = hypothesis.settings(max_examples=25, deadline=None, derandomize=True, database=None)


@pytest.fixture(autouse=True)
def _seeded():
    """In the place of the one for all tests: clearing the session makes TensorFlow optimise every graph anew."""


def independent(jacobian, limit=1e-3):
    """Whether the unit rows are far from any linear dependence."""
    units = jacobian / np.linalg.norm(jacobian, axis=1)[:, None]
    return np.linalg.svd(units, compute_uv=False)[-1] > limit and len(units) <= units.shape[1]


# -- no task is harmed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HARM_NONE)
@found_by_hypothesis
@hypothesis.given(jacobian=jacobians)
def test_no_task_is_harmed(name, jacobian):
    promises.assert_harms_none(name, jacobian)


@pytest.mark.parametrize("name", HARM_NONE)
@pytest.mark.parametrize("case", CASES)
def test_no_task_is_harmed_on_hard_matrices(name, case):
    for shape in ((3, 4), (8, 5), (10, 40)):
        promises.assert_harms_none(name, families(*shape)[case])


@found_by_hypothesis
@hypothesis.given(jacobian=jacobians)
def test_config_harms_none_of_independent_tasks(jacobian):
    hypothesis.assume(independent(jacobian))
    promises.assert_harms_none("con_fig", jacobian)


@found_by_hypothesis
@hypothesis.given(jacobian=jacobians)
def test_config_gains_in_total(jacobian):
    """Dependent tasks or not: the sum of the gradients' products with d is a square."""
    direction = promises.direction("con_fig", jacobian)
    assert jacobian.sum(0) @ direction >= -1e-9 * promises.size(jacobian) ** 2


@pytest.mark.parametrize("normalization", ["l2", "loss", "loss+"])
def test_mgda_harms_none_with_any_normalization(normalization):
    for case in ("random", "conflicting", "scaled", "zero"):
        jacobian = families(5, 9)[case]
        direction = weightings.MGDA(normalization).combine(jacobian, np.linspace(0.1, 3.0, 5)).numpy()
        assert (jacobian @ direction >= -1e-9 * np.linalg.norm(jacobian, axis=1) * np.linalg.norm(direction)).all()


def test_krum_and_sums_may_harm():
    """Not a promise of theirs; what the others protect from."""
    jacobian = np.array([[1.0, 0.0], [-3.0, 1.0]])
    assert (jacobian @ jacobian.sum(0)).min() < 0
    for name in HARM_NONE:
        assert (jacobian @ promises.direction(name, jacobian)).min() > -1e-12


# -- order, basis, twins, scales -----------------------------------------------------------------------------------


@every_method
@found_by_hypothesis
@hypothesis.given(jacobian=jacobians, seed=st.integers(0, 999))
def test_order_and_basis_do_not_matter(name, jacobian, seed):
    hypothesis.assume(independent(jacobian))
    rng = np.random.default_rng(seed)
    promises.assert_order_does_not_matter(name, jacobian, rng.permutation(len(jacobian)))
    rotation = np.linalg.qr(rng.normal(size=(jacobian.shape[1], jacobian.shape[1])))[0]
    promises.assert_basis_does_not_matter(name, jacobian, rotation)


@every_method
def test_order_does_not_matter_on_hard_matrices(name):
    for case in CASES:
        for shape in ((4, 9), (9, 30)):
            order = np.random.default_rng(0).permutation(shape[0])
            promises.assert_order_does_not_matter(name, families(*shape)[case], order)


@every_method
def test_direction_with_the_scale_of_all_gradients(name):
    for case in ("random", "conflicting", "collinear", "scaled", "zero"):
        for scale in (1e-20, 1e-4, 1e10):
            promises.assert_scales(name, families(5, 9)[case], scale, POWERS[name])


def test_fairgrad_with_the_scale_of_all_gradients():
    """Weights grow with scale^(-2 alpha / (1 + alpha)), the direction with one power more."""
    for alpha in (0.5, 2.0):
        promises.assert_scales("fairgrad", families(4, 9)["random"], 1e-4, (1 - alpha) / (1 + alpha), alpha=alpha)


@pytest.mark.parametrize("name", ["imtlg", "nash_mtl", "con_fig"])
def test_direction_does_not_see_how_long_one_gradient_is(name):
    lengths = np.array([1e-6, 1.0, 1e5, 30.0])
    for case in ("random", "conflicting", "aligned", "nearly collinear", "nearly opposed"):
        promises.assert_ignores_lengths(name, families(4, 9)[case], lengths)


def test_upgrad_is_linear_in_the_length_of_each_gradient():
    """For c in place of the lengths: A(diag(c) J) is the sum of c_k times what task k adds."""
    jacobian = families(4, 9)["conflicting"]
    parts = [4 * promises.direction("upgrad", np.diag(unit + 1e-9) @ jacobian) for unit in np.eye(4)]
    lengths = np.array([2.0, 0.3, 1.0, 7.0])
    found = promises.direction("upgrad", lengths[:, None] * jacobian)
    np.testing.assert_allclose(found, lengths @ parts / 4, rtol=1e-6)


@every_method
def test_a_zero_gradient_stops_none(name):
    """Means over the tasks count it, so that these updates are 3/4 as long; nothing else changes."""
    factor = 0.75 if name in ("cagrad", "upgrad", "dual_proj", "aligned_mtl") else 1.0
    for case in ("random", "conflicting", "scaled", "nearly collinear"):
        promises.assert_ignores_a_zero_gradient(name, families(3, 9)[case], factor)


@every_method
def test_twins_share(name):
    for case in ("random", "conflicting", "scaled", "opposed"):
        promises.assert_twins_share(name, families(4, 9)[case])


@every_method
def test_one_task(name):
    """Its plain gradient; what CAGrad, Nash and FairGrad make of it follows from their definitions."""
    row = np.array([[3.0, -4.0, 0.0]])
    factor = {"cagrad": 1.5, "nash_mtl": 0.2, "fairgrad": 0.2}.get(name, 1.0)
    np.testing.assert_allclose(promises.direction(name, row), factor * row[0], rtol=1e-9)


@every_method
def test_gradients_that_are_not_finite_are_left_out(name):
    """Loss scaling makes infinite gradients on purpose; nothing may raise or spread."""
    weights = solve(name, np.array([[1.0, 2.0], [np.inf, 0.0], [2.0, 1.0], [np.nan, 1.0]]))
    assert (weights[[0, 2]] > 0).all()


# -- identities between methods ------------------------------------------------------------------------------------


@found_by_hypothesis
@hypothesis.given(jacobian=jacobians)
def test_identities_of_two_tasks(jacobian):
    """UPGrad is half of PCGrad; MGDA of unit rows, IMTL-G and ConFIG point along the bisector."""
    jacobian = jacobian[:2]
    hypothesis.assume(independent(jacobian, 1e-2))
    np.testing.assert_allclose(2 * solve("upgrad", jacobian), solve("pcgrad", jacobian), rtol=1e-9)
    bisector = (jacobian / np.linalg.norm(jacobian, axis=1)[:, None]).sum(0)
    for name in ("imtlg", "con_fig", "nash_mtl"):
        promises.assert_same_direction(
            promises.direction(name, jacobian) / np.linalg.norm(promises.direction(name, jacobian)),
            bisector / np.linalg.norm(bisector),
            1.0,
        )


@found_by_hypothesis
@hypothesis.given(jacobian=jacobians)
def test_fairgrad_of_one_is_nash_without_a_limit(jacobian):
    np.testing.assert_allclose(solve("fairgrad", jacobian, alpha=1.0), solve("nash_mtl", jacobian, max_norm=0))
    nash, limited = solve("nash_mtl", jacobian, max_norm=0), solve("nash_mtl", jacobian, max_norm=0.5)
    length = np.linalg.norm(jacobian.T @ nash)
    np.testing.assert_allclose(limited, nash * min(1, 0.5 / length), rtol=1e-6)


@found_by_hypothesis
@hypothesis.given(jacobian=jacobians)
def test_cagrad_between_the_mean_and_mgda(jacobian):
    """c = 0 is the mean; as c grows the direction turns to that of MGDA."""
    np.testing.assert_allclose(solve("cagrad", jacobian, c=0.0), 1 / len(jacobian))
    shortest = promises.direction("mgda", jacobian)
    hypothesis.assume(np.linalg.norm(shortest) > 1e-2 and np.linalg.norm(jacobian.mean(0)) > 1e-2)
    far = promises.direction("cagrad", jacobian, c=1e4)
    cosine = far @ shortest / np.linalg.norm(far) / np.linalg.norm(shortest)
    assert cosine > 1 - 1e-3


def test_fairgrad_from_the_sum_to_mgda():
    jacobian = families(4, 9)["aligned"]
    nearly_sum = solve("fairgrad", jacobian, alpha=0.01)
    np.testing.assert_allclose(nearly_sum, 1.0, atol=0.1)
    shortest = promises.direction("mgda", jacobian)
    fair = promises.direction("fairgrad", jacobian, alpha=100.0)
    assert fair @ shortest / np.linalg.norm(fair) / np.linalg.norm(shortest) > 0.999


@pytest.mark.parametrize("alpha", [1e-6, 1e-2, 1e3, 1e6])
def test_fairgrad_survives_any_alpha(alpha):
    """Where some weights are of a size that float64 does not have."""
    for case in CASES:
        weights = solve("fairgrad", families(4, 6)[case], alpha=alpha)
        assert (weights[[0, 2, 3]] > 0).all(), case


def test_without_conflict_projections_change_nothing():
    jacobian = np.abs(families(6, 9)["random"])
    for name in ("upgrad", "dual_proj"):
        np.testing.assert_allclose(solve(name, jacobian), 1 / 6, rtol=1e-12)


def test_aligned_mtl_makes_orthogonal_gradients_of_one_length():
    """What is added to the update by each task's preference: orthogonal vectors as long as the weakest component."""
    jacobian = families(4, 9)["random"]
    parts = [weightings.AlignedMTL(preference=list(unit)).combine(jacobian).numpy() for unit in np.eye(4)]
    weakest = np.linalg.svd(jacobian, compute_uv=False)[-1]
    np.testing.assert_allclose(np.array(parts) @ np.array(parts).T, weakest**2 * np.eye(4), atol=1e-9)


@pytest.mark.parametrize("method", ["upgrad", "dual_proj", "aligned_mtl", "con_fig"])
def test_preference_through_its_wrapper(method):
    """More of a task's own direction the more it is wanted; equal ones change nothing."""
    jacobian, names = families(3, 9)["conflicting"], ["a", "b", "c"]

    def found(weights):
        gramian, present = jacobian @ jacobian.T, [True] * 3
        wrapped = weightings.Preference(method, weights).bind(names)
        return jacobian.T @ np.asarray(wrapped.call([1.0] * 3, gramian, np.array(present)))

    plain = weightings.get(method).combine(jacobian).numpy()
    np.testing.assert_allclose(found({"a": 2.0, "b": 2.0, "c": 2.0}), plain, rtol=1e-9)
    wanted = found({"a": 10.0, "b": 1.0, "c": 1.0})
    row = jacobian[0] / np.linalg.norm(jacobian[0])
    assert wanted @ row / np.linalg.norm(wanted) > plain @ row / np.linalg.norm(plain)
