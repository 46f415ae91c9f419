"""The sum of the logarithms of the losses."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.positive import above_zero

FORMS = ("log", "log1p")


@register("log_sum")
class LogSum(LossWeighting):
    """SI, scale-invariant: the gradient of `sum_k log L_k`, so `w_k = 1 / L_k`; no loss counts more for its unit.

    Args:
        form: `"log"` (default), or `"log1p"` for `sum_k log(1 + L_k)`, `w_k = 1 / (1 + L_k)`, as in SamsungLabs' code:
            weights stay below 1 as losses fall, and units matter again.

    Losses have to stay above 0; smaller ones count as 1e-12.

    Raises:
        ValueError: `form` is neither.

    Example:
        >>> from mtl_keras import weightings
        >>> rows, losses = [[1.0, 0.0], [0.0, 1.0]], [1.0, 3.0]
        >>> weightings.LogSum().combine(rows, losses).numpy().round(4).tolist()
        [1.0, 0.3333]
        >>> weightings.LogSum("log1p").combine(rows, losses).numpy().tolist()
        [0.5, 0.25]

    Source: the scale-invariant baseline of Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022.
    """

    positive_losses = True
    paper = "baseline of Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022"

    def __init__(self, form: str = "log", name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        if form not in FORMS:
            raise ValueError(message(f"a form among {list(FORMS)}", "choose one", form=form))
        self.form = form

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        offset = 1.0 if self.form == "log1p" else 0.0
        return tf.cast(present, losses.dtype) / (offset + above_zero(losses, present))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form}
