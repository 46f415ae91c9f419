"""A smooth maximum of the losses."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import number, whole
from mtl_keras.weightings.per_task import PerTask, checked, checked_preference, resolved, resolved_preference
from mtl_keras.weightings.positive import above_zero
from mtl_keras.weightings.simplex import shares_of, softmax_of


@register("stch")
class STCH(LossWeighting):
    """Smooth Tchebycheff scalarisation: mostly the worst task is trained, and the others a little.

    Static form (default): `total = mu log sum_k exp(p_k (L_k - ideal_k) / mu)`, so
    `w_k = p_k softmax(p (L - ideal) / mu)_k`, with the preference p summing to 1 over the present tasks.

    Form with warm-up: in epochs 0 to `warmup_epochs` the update is that of `sum_k log L_k`; the mean loss of each task
    over epoch `warmup_epochs` becomes its nadir n_k. After that
    `total = K mu log sum_k exp(log(L_k / n_k) / mu)`, so `w_k = K softmax(log(L / n) / mu)_k / L_k`.

    Args:
        mu: Smoothness above 0, default 1.0. Towards 0 only the worst task counts.
        warmup_epochs: None (default) for the static form; a whole number, 4 in the paper's runs, for the other.
        preference: p, static form only; None (default) for 1/K, a dict by task name or a list.
        ideal: The loss that each task could reach at best, static form only; default 0.0, a dict by name or a list.

    State, with warm-up only, float32: `epochs` begun (a scalar), `nadir` and its `counts` [K]. Epochs are counted by
    `fit`; a loop of one's own calls `begin_epoch`. A task without a label in the epoch of its nadir takes its first
    batch after that. With warm-up losses have to stay above 0.

    Raises:
        ValueError: `mu` is not above 0, another argument is not what it should be, or `preference` or `ideal` is given
            together with `warmup_epochs`.

    Example:
        >>> from mtl_keras import weightings
        >>> stch = weightings.STCH(mu=1.0)
        >>> stch.combine([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], losses=[1.0, 2.0, 4.0]).numpy().round(4).tolist()
        [0.0652, 0.091, 0.1772]

    TorchJD has the static form, LibMTL and the authors' code the other; these are different objectives.

    Source: Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, ICML 2024.
    """

    paper = "Lin et al., Smooth Tchebycheff Scalarization, ICML 2024"

    def __init__(
        self,
        mu: float = 1.0,
        warmup_epochs: int | None = None,
        preference: Any = None,
        ideal: PerTask = 0.0,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.mu = number("mu", mu, example=1.0, at_least=0)
        if self.mu == 0:
            raise ValueError(message("mu above 0", "pass mu=1.0", mu=mu))
        self.warmup_epochs = None if warmup_epochs is None else whole("warmup_epochs", warmup_epochs, example=4)
        self.preference = checked_preference(preference)
        self.ideal = checked("ideal", ideal, example=0.0)
        if self.warmup_epochs is not None and (preference is not None or ideal != 0.0):
            raise ValueError(
                message(
                    "no preference and no ideal with warm-up, where the nadir takes their place",
                    "leave them or warmup_epochs out",
                    preference=preference,
                    ideal=ideal,
                )
            )
        self.positive_losses = self.warmup_epochs is not None

    def create_state(self, num_tasks: int) -> None:
        names = [task.name for task in self.tasks]
        self.preferences = resolved_preference(self.preference, names)
        self.ideals = resolved("ideal", self.ideal, names)
        if self.warmup_epochs is not None:
            self.epochs = self.add_state("epochs", ())
            self.nadir = self.add_state("nadir", (num_tasks,))
            self.counts = self.add_state("counts", (num_tasks,))

    def begin_epoch(self, epoch: int) -> None:
        # the number of the epoch is not used: it begins at 0 again with every fit
        if self.warmup_epochs is not None:
            self.epochs.assign(keras.ops.convert_to_numpy(self.epochs) + 1.0)

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        if self.warmup_epochs is not None:
            return self._with_nadir(losses, present, self.warmup_epochs)
        preference = shares_of(tf.constant(self.preferences), present)
        return preference * softmax_of(preference * (losses - tf.constant(self.ideals)) / self.mu, present)

    def _with_nadir(self, losses: tf.Tensor, present: tf.Tensor, warmup_epochs: int) -> tf.Tensor:
        mask = tf.cast(present, tf.float32)
        losses = above_zero(losses, present)
        epoch = tf.convert_to_tensor(self.epochs.value) - 1.0
        nadir, counts = tf.convert_to_tensor(self.nadir.value), tf.convert_to_tensor(self.counts.value)

        late = (epoch > warmup_epochs) & (counts == 0.0)
        taken = mask * tf.cast((epoch == warmup_epochs) | late, tf.float32)
        counts += taken
        nadir += taken * tf.math.divide_no_nan(losses - nadir, counts)
        self.counts.assign(counts)
        self.nadir.assign(nadir)

        logarithms = tf.math.log(losses / tf.where(counts > 0.0, nadir, tf.ones_like(nadir)))
        smooth = softmax_of(logarithms / self.mu, present) * tf.reduce_sum(mask)
        return tf.where(epoch > warmup_epochs, smooth, mask) / losses

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mu": self.mu,
            "warmup_epochs": self.warmup_epochs,
            "preference": self.preference,
            "ideal": self.ideal,
        }
