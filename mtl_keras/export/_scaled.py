"""Real numbers that a .tflite file takes and gives as scaled integers."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scaled:
    """`real = scale * (stored - zero)`.

    Attributes:
        scale, zero: As in the formula.
        dtype: What is stored, an integer type.

    Example:
        >>> pixels = Scaled(0.5, -128, np.dtype("int8"))
        >>> pixels.stored(np.array([0.0, 1.0, 999.0])).tolist(), pixels.real(np.array([-126], "int8")).tolist()
        ([-128, -126, 127], [1.0])
    """

    scale: float
    zero: int
    dtype: np.dtype

    def stored(self, real: np.ndarray) -> np.ndarray:
        """What stands for these numbers; those out of range become the nearest that can be stored."""
        limits = np.iinfo(self.dtype)
        return np.clip(np.rint(real / self.scale) + self.zero, limits.min, limits.max).astype(self.dtype)

    def real(self, stored: np.ndarray) -> np.ndarray:
        """The numbers as float32."""
        return np.float32(self.scale) * (stored.astype(np.float32) - np.float32(self.zero))


def scaled_tensors(details: dict[str, dict[str, Any]]) -> dict[str, Scaled]:
    """Those of a signature's inputs or outputs that hold real numbers as integers.

    Whole numbers as such are not among them: token ids have no scale, pixels the scale 1.
    """
    found = {}
    for name, detail in details.items():
        dtype, (scale, zero) = np.dtype(detail["dtype"]), detail["quantization"]
        if dtype.kind in "iu" and (scale, zero) not in ((0.0, 0), (1.0, 0)):
            found[name] = Scaled(scale, zero, dtype)
    return found
