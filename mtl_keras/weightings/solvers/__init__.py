"""Exact solutions of the K×K problems behind gradient methods, in TensorFlow operations that trace anywhere.

| file             | problem |
|------------------|---------|
| `rows.py`        | a Gramian as K rows of unit length, with what is zero or linearly dependent set aside |
| `orthant.py`     | the least of a convex quadratic function over the points that are at least 0 |
| `hull.py`        | the shortest vector in the hull of the rows |
| `ball.py`        | the best worst case in a ball around the mean of the rows |
| `cone.py`        | projections on the directions that harm no task |
| `fair.py`        | positive weights with `(G a)_i = a_i^-q` |
| `projections.py` | the combination with given projections on every row |
| `spectrum.py`    | singular values and vectors, also of tiny rows |

All of it runs in float64, in every one of eager mode, graphs and XLA, with a bounded number of iterations. Nothing
raises and nothing is NaN, whatever the Gramian: rows that are zero or not finite get the weight 0, and the others what
they would get without them.
"""

from mtl_keras.weightings.solvers.ball import worst_case_in_ball
from mtl_keras.weightings.solvers.cone import cone_weights
from mtl_keras.weightings.solvers.fair import fair_weights
from mtl_keras.weightings.solvers.hull import least_norm
from mtl_keras.weightings.solvers.projections import projection_weights
from mtl_keras.weightings.solvers.rows import Rows, rows_of, split_lengths
from mtl_keras.weightings.solvers.spectrum import spectrum

__all__ = [
    "Rows",
    "cone_weights",
    "fair_weights",
    "least_norm",
    "projection_weights",
    "rows_of",
    "spectrum",
    "split_lengths",
    "worst_case_in_ball",
]
