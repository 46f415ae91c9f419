"""What the heads of dense layers have in common: pooled features, hidden layers, one float32 projection."""

import operator
from collections.abc import Sequence
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.heads.base import Head


class DenseHead(Head):
    """Base of the heads that end in one matrix product: `pool -> [Dense, activation, dropout]* -> Dense`.

    Args:
        hidden: Units of the hidden layers in order, default none.
        dropout: Share of the hidden units (without hidden layers: of the features) dropped in training, default 0.0.
        activation: Name of the hidden layers' activation, default `"relu"`.
        kernel_regularizer: Keras regularizer (name, config or instance) of every kernel of the head, default none.

    Features [B, H, W, C] are averaged over H and W first; features [B, F] are taken as they are. The last projection
    computes in float32 whatever the global policy says: softmax and logarithms do not survive float16.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        activation: str = "relu",
        kernel_regularizer: Any = None,
    ):
        self.hidden = [whole_number(units) for units in (hidden if hasattr(hidden, "__iter__") else [hidden])]
        if any(units < 1 for units in self.hidden):
            raise ValueError(message("whole numbers of hidden units, each at least 1", "pass (64,)", hidden=hidden))
        self.dropout = fraction("dropout", dropout)
        self.activation = keras.activations.serialize(keras.activations.get(activation))
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def transform(self, features: Any, name: str) -> Any:
        """Features [B, H, W, C] or [B, F] to what the projection reads, [B, F']."""
        rank = len(features.shape)
        if rank not in (2, 4):
            raise ValueError(
                message(
                    f"features of shape [B, F] or [B, H, W, C] for task {name!r}",
                    "flatten or pool them before the head",
                    shape=tuple(features.shape),
                )
            )
        if rank == 4:
            features = keras.layers.GlobalAveragePooling2D(name=f"{name}_pool")(features)
        for index, units in enumerate(self.hidden, start=1):
            features = keras.layers.Dense(
                units, self.activation, kernel_regularizer=self.kernel_regularizer, name=f"{name}_hidden{index}"
            )(features)
            if self.dropout:
                features = keras.layers.Dropout(self.dropout, name=f"{name}_dropout{index}")(features)
        if self.dropout and not self.hidden:
            features = keras.layers.Dropout(self.dropout, name=f"{name}_dropout")(features)
        return features

    def project(self, features: Any, units: int, name: str, use_bias: bool = True) -> Any:
        """The last matrix product, float32: features [B, F'] to [B, units], in a layer called `name`."""
        return keras.layers.Dense(
            units, use_bias=use_bias, kernel_regularizer=self.kernel_regularizer, dtype="float32", name=name
        )(features)

    def get_config(self) -> dict[str, Any]:
        regularizer = self.kernel_regularizer
        return {
            "hidden": list(self.hidden),
            "dropout": self.dropout,
            "activation": self.activation,
            "kernel_regularizer": None if regularizer is None else keras.regularizers.serialize(regularizer),
        }


def fraction(name: str, value: float) -> float:
    """The value, if it lies in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(message(f"{name} of at least 0 and below 1", "correct it", **{name: value}))
    return float(value)


def counted_labels(
    count_name: str, count: int | None, labels: Sequence[str] | None, at_least: int
) -> tuple[int, list[str] | None]:
    """The number of labels and their names (or None), from either or from both where they agree."""
    if labels is not None:
        labels = [labels] if isinstance(labels, str) else list(labels)
        named = all(isinstance(label, str) and label for label in labels)
        if not named or len(set(labels)) != len(labels) or len(labels) < at_least:
            raise ValueError(
                message(f"at least {at_least} label names, no two alike", "pass a list of texts", labels=labels)
            )
        if count is not None and count != len(labels):
            raise ValueError(
                message(
                    f"as many labels as {count_name} says", "pass labels only", **{count_name: count}, labels=labels
                )
            )
        return len(labels), labels
    if whole_number(count) < at_least:
        raise ValueError(
            message(
                f"{count_name} of at least {at_least}, or labels",
                f"pass {count_name}={max(at_least, 3)} or labels=[...]",
                **{count_name: count},
            )
        )
    return whole_number(count), None


def shown_labels(count: int, labels: list[str] | None) -> list[str]:
    """The label names; "0", "1", ... where none were given."""
    return list(labels) if labels is not None else [str(index) for index in range(count)]


def per_value(name: str, value: float | Sequence[float], count: int) -> float | list[float]:
    """One number for all or a list of `count`, as plain floats."""
    if not hasattr(value, "__len__"):
        return float(value)  # type: ignore[arg-type]
    values = [float(v) for v in value]  # type: ignore[union-attr]
    if len(values) != count:
        raise ValueError(message(f"one number, or a list of {count}", "correct the list", **{name: values}))
    return values


def whole_number(value: Any) -> int:
    """The value as an int; -1 for what is no whole number."""
    if isinstance(value, bool):
        return -1
    try:
        return operator.index(value)
    except TypeError:
        return -1
