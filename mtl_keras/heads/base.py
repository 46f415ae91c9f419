"""What a head is: layers from features to one named output, and all that is known of that output."""

from typing import Any

import keras

from mtl_keras.registry import Registry


class Head:
    """From features to one output that a person can read, with its loss and metrics.

    A head ends in probabilities or in values in the user's units, so that `predict`, SavedModel and LiteRT say the
    same. Its loss works on the numerically safe form of the same output (e.g. the logits), which is what its last layer
    reads, against `loss_target(y)`. That last layer has one input, bears the task's name and stays float32 under mixed
    precision.

    Class attributes:
        kind: `"classification"`, `"multilabel"`, `"regression"` or `"ordinal"`.
        missing: The label value that means "no label": -1 for class ids, NaN for numbers. NaN always counts as
            missing.
        loss_reads: `"last_input"` (default): the loss reads what the last layer reads; `"output"`: the output itself.
    """

    registered_name: str | None = None
    kind = "classification"
    missing: float = -1.0
    loss_reads = "last_input"

    def __call__(self, features: Any, name: str) -> Any:
        """Features (KerasTensor) to the output (KerasTensor) of the task `name`."""
        raise TypeError(f"{type(self).__name__} is no complete head: define __call__")

    def loss_target(self, labels: Any) -> Any:
        """Labels as the loss wants them (for a regressor: scaled); unchanged by default."""
        return labels

    def loss(self) -> keras.losses.Loss:
        """A new Keras loss; its `call(target, what the loss reads)` gives one value per label and takes no mean."""
        raise TypeError(f"{type(self).__name__} is no complete head: define loss")

    def metrics(self) -> list[keras.metrics.Metric]:
        """New Keras metrics on `(labels, output)`; all take a `sample_weight`. The first is the one that decides."""
        return []

    @property
    def best(self) -> tuple[str, str]:
        """Name of the metric that decides, and `"max"` or `"min"`: which of its values is better."""
        return "loss", "min"

    @property
    def label_range(self) -> tuple[float, float] | None:
        """Lowest and highest label allowed, both included, or None where any finite number is."""
        return None

    def describe(self) -> dict[str, Any]:
        """What the manifest keeps: kind, label names, units, thresholds; plain JSON types only."""
        return {"kind": self.kind}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, plain JSON types only."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Head":
        return cls(**config)


registry = Registry("head", Head)
register = registry.register
