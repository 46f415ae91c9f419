"""Tracked gradients, and weights that walk towards their smallest combination."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import GradientAggregator, register
from mtl_keras.weightings.checks import gradient_size, number
from mtl_keras.weightings.simplex import shares_of, softmax_of, with_shares


@register("moco")
class MoCo(GradientAggregator):
    """Combine running means of the gradients by weights that take one step a batch towards their minimum norm.

    With `h_k = L_k g_k / ||g_k||` and t the number of batches so far that have task k:
    `Y_k -= beta / t^sigma (Y_k - h_k)`, `w = softmax(w - gamma / t^gamma_sigma (Y Y' + rho I) w)`, direction `Y' w`.

    Args:
        beta: First step of the running means, 0 to 1, default 0.5.
        sigma: How fast that step falls, default 0.5; 0 keeps it.
        gamma: First step of the weights, default 0.1.
        gamma_sigma: How fast that one falls, default 0.5.
        rho: Pull towards equal weights, default 0.0.

    State, float32: `tracked` Y [K, P], as large as K copies of the shared parameters; `mixture` w [K], 1/K at first;
    `steps` t [K]. Absent tasks keep theirs and take no part in w. A task with a zero gradient is tracked towards 0.
    Losses have to stay above 0: a negative one would turn its task's gradient round.

    Example:
        >>> from mtl_keras import weightings
        >>> moco = weightings.MoCo(beta=1.0, gamma=0.0)
        >>> moco.combine([[3.0, 4.0], [0.0, 2.0]], losses=[1.0, 2.0]).numpy().round(6).tolist()
        [0.3, 1.4]

    The definition is that of LibMTL: the paper projects w on the simplex, LibMTL (and the paper's runs on images) take
    the softmax; LibMTL adds 1e-8 to the norms, we need not. The paper's NYUv2 runs have beta 0.99 and sigma 0.

    Source: Fernando et al., Mitigating Gradient Bias in Multi-objective Learning: A Provably Convergent Approach, ICLR
    2023.
    """

    needs_losses = True
    positive_losses = True
    paper = "Fernando et al., Mitigating Gradient Bias in Multi-objective Learning, ICLR 2023"

    def __init__(
        self,
        beta: float = 0.5,
        sigma: float = 0.5,
        gamma: float = 0.1,
        gamma_sigma: float = 0.5,
        rho: float = 0.0,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.beta = number("beta", beta, example=0.5, at_least=0, at_most=1)
        self.sigma = number("sigma", sigma, example=0.5, at_least=0)
        self.gamma = number("gamma", gamma, example=0.1, at_least=0)
        self.gamma_sigma = number("gamma_sigma", gamma_sigma, example=0.5, at_least=0)
        self.rho = number("rho", rho, example=0.0, at_least=0)

    def create_state(self, num_tasks: int) -> None:
        self.tracked = self.add_state("tracked", (num_tasks, gradient_size(self.gradient_size, "MoCo")))
        self.mixture = self.add_state("mixture", (num_tasks,), 1.0 / num_tasks)
        self.steps = self.add_state("steps", (num_tasks,))

    def call(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        dtype = jacobian.dtype
        mask = tf.cast(present, dtype)
        steps = tf.cast(tf.convert_to_tensor(self.steps.value), dtype) + mask
        clock = tf.maximum(steps, 1.0)  # absent tasks may stand at 0
        scales = tf.math.divide_no_nan(tf.cast(losses, dtype), tf.norm(jacobian, axis=1))
        before = tf.cast(tf.convert_to_tensor(self.tracked.value), dtype)
        rates = mask * self.beta * clock**-self.sigma
        tracked = before - rates[:, None] * (before - scales[:, None] * jacobian)

        rows = tracked * mask[:, None]
        gramian = tf.cast(tf.matmul(rows, rows, transpose_b=True), tf.float64)
        mixture = tf.cast(tf.convert_to_tensor(self.mixture.value), tf.float64)
        shares = shares_of(mixture, present)
        slope = tf.linalg.matvec(gramian, shares) + self.rho * shares
        shares = softmax_of(shares - self.gamma * tf.cast(clock, tf.float64) ** -self.gamma_sigma * slope, present)

        self.tracked.assign(tf.cast(tracked, "float32"))
        self.mixture.assign(tf.cast(with_shares(mixture, shares, present), "float32"))
        self.steps.assign(tf.cast(steps, "float32"))
        return tf.linalg.matvec(rows, tf.cast(shares, dtype), transpose_a=True)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta": self.beta,
            "sigma": self.sigma,
            "gamma": self.gamma,
            "gamma_sigma": self.gamma_sigma,
            "rho": self.rho,
        }
