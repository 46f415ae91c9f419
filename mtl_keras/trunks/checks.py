"""What trunks have in common: checks of their arguments, and the end behind the last feature map."""

import numbers
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from mtl_keras.errors import message


def at_least(name: str, value: Any, lowest: int) -> int:
    """The value as an int, if it is a whole number of at least `lowest`."""
    number = _whole(value)
    if number is None or number < lowest:
        raise ValueError(message(f"a whole number of at least {lowest} as {name}", "pass e.g. 64", **{name: value}))
    return number


def positive_list(
    name: str, values: int | Sequence[int], may_be_empty: bool = False, example: str = "(32, 64)"
) -> list[int]:
    """The values as a list of ints (a single number as a list of one), if they are whole and at least 1."""
    numbers = [_whole(v) for v in (list(values) if isinstance(values, Iterable) else [values])]
    whole = [n for n in numbers if n is not None and n >= 1]
    if len(whole) != len(numbers) or (not numbers and not may_be_empty):
        raise ValueError(message(f"whole numbers of at least 1 as {name}", f"pass e.g. {example}", **{name: values}))
    return whole


def per_stage(name: str, value: int | Sequence[int], filters: list[int]) -> list[int]:
    """One whole number of at least 1 per stage, from one for all or from a list."""
    values = positive_list(name, value, example="2, or a list with one per stage")
    if not isinstance(value, Iterable):
        values = values * len(filters)
    if len(values) != len(filters):
        raise ValueError(
            message(f"one value of {name} per stage", "pass as many as filters", **{"filters": filters, name: values})
        )
    return values


def fraction(name: str, value: Any) -> float:
    """The value as a float, if it lies in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise ValueError(message(f"{name} of at least 0 and below 1", "pass e.g. 0.2", **{name: value}))
    return float(value)


def choice(name: str, value: str, allowed: Iterable[str]) -> str:
    """The value, if it is one of those allowed."""
    listed = list(allowed)
    if value not in listed:
        raise ValueError(message(f"{name} among {listed}", "choose one", **{name: value}))
    return value


def checked_regularizer(value: Any) -> keras.regularizers.Regularizer | None:
    """A Keras regularizer from a name, config or instance."""
    try:
        return keras.regularizers.get(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            message(
                "a Keras regularizer: its name, config or an instance",
                "pass e.g. 'l2' or keras.regularizers.L2(1e-4)",
                kernel_regularizer=value,
            )
        ) from error


def regularizer_config(value: keras.regularizers.Regularizer | None) -> dict[str, Any] | None:
    """A regularizer as plain JSON."""
    return None if value is None else keras.regularizers.serialize(value)


def checked_activation(value: Any) -> Any:
    """An activation as plain JSON: the name where Keras knows one."""
    try:
        return keras.activations.serialize(keras.activations.get(value))
    except (ValueError, TypeError) as error:
        raise ValueError(
            message("the name of a Keras activation", "pass e.g. 'relu', or 'linear' for none", activation=value)
        ) from error


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


class End:
    """New layers from the last feature map to the features: flattened or averaged, then dense layers.

    Args:
        name: What the layers' names begin with.
        output: `"flatten"`, `"average"` or `"max"` over the image, or `"map"` to leave it a map.
        dense: Units of the dense layers.
        activation: Their activation.
        dropout: Share dropped behind each dense layer, or of the features where there is none.
        kernel_regularizer: Regularizer of the dense kernels.
    """

    def __init__(
        self,
        name: str,
        output: str,
        dense: Sequence[int] = (),
        activation: Any = None,
        dropout: float = 0.0,
        kernel_regularizer: Any = None,
    ):
        self.flattens = output == "flatten"
        self.layers: list[keras.layers.Layer] = []
        if output == "flatten":
            self.layers.append(keras.layers.Flatten(name=f"{name}_flatten"))
        elif output == "average":
            self.layers.append(keras.layers.GlobalAveragePooling2D(name=f"{name}_average"))
        elif output == "max":
            self.layers.append(keras.layers.GlobalMaxPooling2D(name=f"{name}_max"))
        for number, units in enumerate(dense, start=1):
            self.layers.append(
                keras.layers.Dense(
                    units, activation, kernel_regularizer=kernel_regularizer, name=f"{name}_dense{number}"
                )
            )
            if dropout:
                self.layers.append(keras.layers.Dropout(dropout, name=f"{name}_dropout{number}"))
        if dropout and not dense:
            self.layers.append(keras.layers.Dropout(dropout, name=f"{name}_dropout"))

    def __call__(self, features: Any) -> Any:
        if self.flattens and None in tuple(features.shape)[1:]:
            raise ValueError(
                message(
                    "images of a fixed size where the feature map is flattened",
                    "pass keras.Input((height, width, channels)), or output='average'",
                    shape=tuple(features.shape),
                )
            )
        for layer in self.layers:
            features = layer(features)
        return features


def _whole(value: Any) -> int | None:
    """The value as an int, None where it is no whole number; True and False are none."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
