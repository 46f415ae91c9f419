"""Published values of the gradient methods on one example, and each worked again by hand."""

import numpy as np
import pytest
from gradient_cases import weights_of

from mtl_keras import weightings

# Gramian ((18, -22), (-22, 38))
ROWS = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
NORMS = np.sqrt([18.0, 38.0])
COSINE = -22 / np.sqrt(18 * 38)


@pytest.mark.parametrize(
    ("method", "direction"),
    [
        (weightings.Static({"task0": 0.5, "task1": 0.5}), [1.0, 1.0, 1.0]),
        (weightings.Equal(), [2.0, 2.0, 2.0]),
        (weightings.MGDA(), [0.0, 1.0, 1.0]),
        (weightings.MGDA("l2"), [0.0153, 0.1990, 0.1990]),
        (weightings.PCGrad(), [0.5848, 3.8012, 3.8012]),
        (weightings.GradVac(), [0.5848, 3.8012, 3.8012]),
        (weightings.CAGrad(0.5), [0.1835, 1.2041, 1.2041]),
        (weightings.CAGrad(0.5, rescale="square"), [0.1468, 0.9633, 0.9633]),
        (weightings.IMTLG(), [0.0767, 1.0, 1.0]),
        (weightings.IMTL(), [0.0767, 1.0, 1.0]),
        (weightings.NashMTL(max_norm=1.0), [0.0542, 0.7061, 0.7061]),
        (weightings.AlignedMTL(), [0.2133, 0.9673, 0.9673]),
        (weightings.UPGrad(), [0.2924, 1.9006, 1.9006]),
        (weightings.DualProj(), [0.5556, 1.1111, 1.1111]),
        (weightings.ConFIG(), [0.1588, 2.0706, 2.0706]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_directions_of_the_example(method, direction):
    np.testing.assert_allclose(method.combine(ROWS, [1.0, 1.0]).numpy(), direction, atol=5.1e-5)


@pytest.mark.parametrize(
    ("method", "weights"),
    [
        # (38 + 22, 18 + 22) over their sum
        (weightings.MGDA(), [0.6, 0.4]),
        # unit rows have equal weights, here those of the rows themselves
        (weightings.MGDA("l2"), 0.5 / NORMS),
        (weightings.PCGrad(), [1 + 22 / 18, 1 + 22 / 38]),
        (weightings.UPGrad(), [(1 + 22 / 18) / 2, (1 + 22 / 38) / 2]),
        # the mean (1, 1, 1) has products -2 and 8; the first is brought to 0 by 2/18 of its row
        (weightings.DualProj(), [0.5 + 2 / 18, 0.5]),
        # two unit rows always have the same product with their sum
        (weightings.IMTLG(), (1 / NORMS) / (1 / NORMS).sum()),
        # x (C x) = 1 at x = 1 / sqrt(1 + cosine), divided by the direction's length sqrt 2
        (weightings.NashMTL(max_norm=1.0), 1 / NORMS / np.sqrt(2 * (1 + COSINE))),
        (weightings.FairGrad(1.0), 1 / NORMS / np.sqrt(1 + COSINE)),
        # the unit sum of unit rows, times the projections of both rows on it
        (weightings.ConFIG(), NORMS.sum() * 0.5 / NORMS),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_weights_of_the_example_by_hand(method, weights):
    np.testing.assert_allclose(weights_of(method, ROWS), weights, rtol=1e-9)


def test_published_weights():
    np.testing.assert_allclose(weights_of(weightings.FairGrad(1.0), ROWS), [0.5915, 0.4071], atol=5.1e-5)
    np.testing.assert_allclose(weights_of(weightings.AlignedMTL(), ROWS), [0.5591, 0.4083], atol=5.1e-5)
    np.testing.assert_allclose(weights_of(weightings.PCGrad(), ROWS), [2.2222, 1.5789], atol=5.1e-5)
    np.testing.assert_allclose(weights_of(weightings.IMTLG(), ROWS), [0.5923, 0.4077], atol=5.1e-5)


def test_aligned_mtl_by_hand():
    """Orthogonal rows of length 3 and 4 are their own axes: both come to the length s, and p = 1/2 each."""
    rows = np.array([[3.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    for mode, length in (("min", 3.0), ("median", 3.0), ("rmse", 12.5**0.5)):
        direction = weightings.AlignedMTL(mode).combine(rows).numpy()
        np.testing.assert_allclose(direction, [length / 2, 0, length / 2], rtol=1e-12)
    wanted = weightings.AlignedMTL(preference=[3.0, 1.0]).combine(rows).numpy()
    np.testing.assert_allclose(wanted, [3 * 0.75, 0, 3 * 0.25], rtol=1e-12)


def test_robust_means_of_their_examples():
    rows = [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [75.0, -666.0, 23.0], [1.0, 2.0, 3.0], [2.0, 0.0, 1.0]]
    np.testing.assert_allclose(weightings.Krum(1, 4).combine(rows).numpy(), [1.25, 0.75, 1.5], rtol=1e-12)
    rows = [[1e11, 3.0], [1.0, -1e11], [-1e10, 1e10], [2.0, 2.0]]
    np.testing.assert_allclose(weightings.TrimmedMean(1).combine(rows).numpy(), [1.5, 2.5], rtol=1e-12)
