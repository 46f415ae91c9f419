"""Impartial multi-task learning, both halves."""

from typing import Any

from mtl_keras.weightings.base import register
from mtl_keras.weightings.composed import Composed
from mtl_keras.weightings.imtlg import IMTLG
from mtl_keras.weightings.imtll import IMTLL


@register("imtl")
class IMTL(Composed):
    """Losses scaled by `IMTLL`, the gradients of the scaled losses balanced by `IMTLG`.

    With the trained scales `exp(s_k)`: `IMTLG` sees the gradients of `exp(s_k) L_k`, and the heads train on these. It
    is `Composed([IMTLL(...), IMTLG()])`.

    Args:
        initial_log_scale: `s_k` at the start, default 0.0 (weight 1).

    State: `log_scales`, float32 [K], trained by the model's optimizer on `sum_k exp(s_k) L_k - s_k`.

    Example:
        >>> from mtl_keras import weightings
        >>> imtl = weightings.IMTL()
        >>> imtl.combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]], losses=[1.0, 1.0]).numpy().round(4).tolist()
        [0.0767, 1.0, 1.0]

    Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021.
    """

    paper = "Liu et al., Towards Impartial Multi-task Learning, ICLR 2021"

    def __init__(self, initial_log_scale: float = 0.0, name: str | None = None, **kwargs: Any):
        super().__init__([IMTLL(initial_log_scale), IMTLG()], name=name, **kwargs)
        self.initial_log_scale = self.loss_weighting.initial_log_scale

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "initial_log_scale": self.initial_log_scale}
