"""Weights that take one unbiased step a batch towards the smallest combination."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.checks import number
from mtl_keras.weightings.simplex import project_to_simplex, shares_of, with_shares


@register("modo")
class MoDo(GradientWeighting):
    """One projected gradient step a batch on the minimum-norm problem, from two independent halves of the batch.

    `w = project(w - gamma (J1 J2' w + rho w))` on the simplex; the update is `J' w` with the new w. Since J1 and J2 are
    independent, `J1 J2'` estimates the Gramian of the expected gradients without the bias of `J J'`.

    Args:
        gamma: Step of the weights, default 1e-3 as in LibMTL; TorchJD has 0.1. It is not relative: with gradients s
            times as large the same steps need `gamma / s^2`.
        rho: Pull towards equal weights, default 0.1.

    State: `mixture` w, float32 [K], 1/K at first. Absent tasks keep theirs; the present ones sum to 1.

    Example:
        >>> from mtl_keras import weightings
        >>> modo = weightings.MoDo(gamma=0.01, rho=0.0)
        >>> modo.combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.5, 1.0, 1.0]

    The paper draws three batches a step, two for w and one for the update; here the first two are the halves of the
    third, so that a step costs one batch and every example trains. In `combine` both halves are the whole.

    Source: Chen et al., Three-Way Trade-Off in Multi-Objective Learning: Optimization, Generalization and
    Conflict-Avoidance, NeurIPS 2023.
    """

    cross_gramian = True
    scopes = ("parameters", "last_layer")  # halves of a batch have no features in common
    cost = "last_layer: one backward; parameters: 2K trunk backwards"
    paper = "Chen et al., Three-Way Trade-Off in Multi-Objective Learning, NeurIPS 2023"

    def __init__(self, gamma: float = 1e-3, rho: float = 0.1, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.gamma = number("gamma", gamma, example=1e-3, at_least=0)
        self.rho = number("rho", rho, example=0.1, at_least=0)

    def create_state(self, num_tasks: int) -> None:
        self.mixture = self.add_state("mixture", (num_tasks,), 1.0 / num_tasks)

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        mixture = tf.cast(tf.convert_to_tensor(self.mixture.value), gramian.dtype)
        shares = shares_of(mixture, present)
        slope = tf.linalg.matvec(gramian, shares) + self.rho * shares
        shares = project_to_simplex(shares - self.gamma * slope, present)
        self.mixture.assign(tf.cast(with_shares(mixture, shares, present), "float32"))
        return shares

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma, "rho": self.rho}
