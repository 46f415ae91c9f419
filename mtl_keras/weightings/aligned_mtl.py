"""Gradients turned until they are orthogonal and equally long, changed as little as that takes."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.per_task import checked_preference, resolved_preference
from mtl_keras.weightings.simplex import shares_of
from mtl_keras.weightings.solvers import rows_of, spectrum

SCALE_MODES = ("min", "median", "rmse")


@register("aligned_mtl")
class AlignedMTL(GradientWeighting):
    """Aligned gradients: the principal components of the gradients all get the same length.

    With `G = V L V'` of rank R and the preference p: weights `s V L^(-1/2) V' p`, where s is chosen among the R
    singular values `L^(1/2)`. The update is that of gradients which are orthogonal and of length s.

    Args:
        scale_mode: `"min"` (default): s is the smallest singular value that is not 0, so that the update is stable
            along the weakest component; `"median"`: their median, the lower of two; `"rmse"`: the root of the mean of
            their squares.
        preference: p, None (default) for 1/K, a dict by task name or a list; scaled to sum 1 over the present tasks.

    Weights can be below 0, and an update can harm a task whose gradient is nearly a combination of the others. A task
    with a zero gradient gets 0 and takes no part in R; how small a gradient is does not matter, however. Dependent
    gradients lower the rank; those that are nearly dependent do not, and make the smallest singular value, and with
    `"min"` the update, small.

    Raises:
        ValueError: `scale_mode` is none of the three, or the preference does not fit.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.AlignedMTL().combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.2133, 0.9673, 0.9673]

    The authors' code and LibMTL take p = 1 for every task, K times as much. Other code takes eigenvalues below `K eps`
    of the largest for 0, and with them any task whose gradient is 1e-7 (in float32: 1e-3) of the largest; we tell
    dependent rows from short ones.

    Source: Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023.
    """

    paper = "Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023"

    def __init__(self, scale_mode: str = "min", preference: Any = None, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        if scale_mode not in SCALE_MODES:
            raise ValueError(message(f"a scale_mode among {list(SCALE_MODES)}", "choose one", scale_mode=scale_mode))
        self.scale_mode = scale_mode
        self.preference = checked_preference(preference)

    def create_state(self, num_tasks: int) -> None:
        self.preferences = resolved_preference(self.preference, [task.name for task in self.tasks])

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        rows = rows_of(gramian, present)
        axes, lengths, kept = spectrum(rows)
        preference = shares_of(tf.constant(self.preferences, axes.dtype), present)
        along = tf.linalg.matvec(axes, preference, transpose_a=True)
        along = tf.where(kept, tf.math.divide_no_nan(along, lengths), 0.0)
        weights = self._scale(lengths, kept, rows.rank) * tf.linalg.matvec(axes, along)
        return tf.where(rows.active, weights, 0.0)

    def _scale(self, lengths: tf.Tensor, kept: tf.Tensor, rank: tf.Tensor) -> tf.Tensor:
        if self.scale_mode == "rmse":
            squares = tf.reduce_sum(tf.where(kept, lengths**2, 0.0))
            return tf.sqrt(tf.math.divide_no_nan(squares, tf.cast(rank, squares.dtype)))
        ascending = tf.sort(tf.where(kept, lengths, float("inf")))
        scale = ascending[tf.maximum(rank - 1, 0) // 2 if self.scale_mode == "median" else 0]
        return tf.where(rank > 0, scale, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale_mode": self.scale_mode, "preference": self.preference}
