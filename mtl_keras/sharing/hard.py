"""Hard sharing: one trunk for all tasks."""

from typing import Any

import keras

from mtl_keras import trunks
from mtl_keras.sharing.base import Sharing, register


@register("hard")
class Hard(Sharing):
    """One trunk; every task's head reads the same features.

    Args:
        trunk: A trunk instance, name or config, default `"conv"`.

    Raises:
        ValueError: No trunk has that name.
        TypeError: `trunk` is none of the three.

    `shared = trunk(x)`, `output_k = head_k(shared)`: every head reads the same tensor, which is the cut.

    Example:
        >>> import keras
        >>> from mtl_keras import sharing, trunks
        >>> features = sharing.Hard(trunks.Conv((8,)))(keras.Input((8, 8, 1)), ["a", "b"])
        >>> features["a"] is features["b"], features["a"].shape
        (True, (None, 128))

    Source: Caruana, Multitask Learning, Machine Learning 28, 1997.
    """

    def __init__(self, trunk: Any = "conv"):
        self.trunk = trunks.get(trunk)

    def __call__(self, inputs: Any, task_names: list[str]) -> dict[str, Any]:
        features = self.trunk(inputs)
        return dict.fromkeys(task_names, features)

    def preprocessing(self) -> dict[str, Any]:
        return self.trunk.preprocessing()

    def get_config(self) -> dict[str, Any]:
        return {"trunk": keras.saving.serialize_keras_object(self.trunk)}
