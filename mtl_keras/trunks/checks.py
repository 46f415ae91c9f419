"""What trunks have in common: checks of their arguments, and the end behind the last feature map."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from mtl_keras.errors import message


def at_least(name: str, value: Any, lowest: int) -> int:
    """The value, if it is a whole number of at least `lowest`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise ValueError(message(f"a whole number of at least {lowest} as {name}", "correct it", **{name: value}))
    return value


def positive_list(name: str, values: Sequence[int], may_be_empty: bool = False) -> list[int]:
    """The values as a list, if they are whole numbers of at least 1."""
    listed = list(values) if isinstance(values, Iterable) else [values]
    whole = all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in listed)
    if not whole or (not listed and not may_be_empty):
        raise ValueError(message(f"whole numbers of at least 1 as {name}", "pass e.g. (32, 64)", **{name: values}))
    return listed


def choice(name: str, value: str, allowed: Iterable[str]) -> str:
    """The value, if it is one of those allowed."""
    if value not in allowed:
        raise ValueError(message(f"{name} among {list(allowed)}", "choose one", **{name: value}))
    return value


def regularizer_config(regularizer: Any) -> dict[str, Any] | None:
    """A regularizer as plain JSON."""
    return None if regularizer is None else keras.regularizers.serialize(regularizer)


def spatial(where: str, features: Any, needed: int) -> None:
    """Refuse inputs that are no feature maps, or too small for what comes next."""
    shape = tuple(features.shape)
    if len(shape) != 4:
        raise ValueError(
            message(f"images or feature maps of shape [B, H, W, C] for {where}", "add the missing axes", shape=shape)
        )
    sides = [side for side in shape[1:3] if side is not None]
    if any(side < needed for side in sides):
        raise ValueError(
            message(
                f"at least {needed}x{needed} pixels for {where}",
                "use larger images, or fewer or smaller stages",
                shape=shape,
            )
        )


def finish(
    name: str, output: str, dense: Sequence[int], activation: Any, dropout: float, kernel_regularizer: Any
) -> list[keras.layers.Layer]:
    """Layers from the last feature map to the features: flattened or averaged, then dense layers."""
    layers: list[keras.layers.Layer] = []
    if output == "flatten":
        layers.append(keras.layers.Flatten(name=f"{name}_flatten"))
    if output == "average":
        layers.append(keras.layers.GlobalAveragePooling2D(name=f"{name}_average"))
    for number, units in enumerate(dense, start=1):
        layers.append(
            keras.layers.Dense(units, activation, kernel_regularizer=kernel_regularizer, name=f"{name}_dense{number}")
        )
        if dropout:
            layers.append(keras.layers.Dropout(dropout, name=f"{name}_dropout{number}"))
    if dropout and not dense:
        layers.append(keras.layers.Dropout(dropout, name=f"{name}_dropout"))
    return layers
