"""What the labels of a task are: one class per kind, and the table of kinds.

A kind knows how a label looks in an example, what marks it as missing, which head fits it and what a person should be
told of it. A new kind is one class and one row of `KINDS`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from mtl_keras import heads
from mtl_keras.errors import message


@dataclass(frozen=True)
class Tally:
    """Counts of labels that add up over parts of the data.

    Attributes:
        examples: How many examples were looked at.
        labelled: How many of them have a label (of several attributes or values: at least one).
        values: int64 counts, as the kind says in `tally`.
    """

    examples: int
    labelled: int
    values: np.ndarray

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.examples + other.examples, self.labelled + other.labelled, np.asarray(self.values + other.values)
        )


@dataclass(frozen=True)
class LabelKind(ABC):
    """Labels of one task.

    Class attributes:
        kind: The kind's name, in `tasks=` of the sources and on the command line.
        missing: The value of a label that is missing.
    """

    kind: ClassVar[str] = ""
    missing: ClassVar[float] = -1.0

    @property
    @abstractmethod
    def spec(self) -> tf.TensorSpec:
        """Shape and dtype of one example's label."""

    @abstractmethod
    def head(self, **arguments: Any) -> heads.Head:
        """A head that fits; `arguments` go to its constructor."""

    @abstractmethod
    def tally(self, labels: np.ndarray) -> Tally:
        """Count labels [N, ...] of N examples."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What there is to know, in plain JSON types."""

    @property
    def num_classes(self) -> int | None:
        """How many classes labels tell apart; None for kinds whose labels are no class ids."""
        return None

    def exists(self, labels: tf.Tensor) -> tf.Tensor:
        """Which labels are there, a bool at the shape of `labels`."""
        exists = ~tf.math.is_nan(labels) if labels.dtype.is_floating else tf.ones_like(labels, tf.bool)
        return exists if np.isnan(self.missing) else exists & (labels != tf.cast(self.missing, labels.dtype))

    def known(self, labels: np.ndarray) -> np.ndarray:
        """Which of N examples have a label (of several attributes or values: at least one), bool [N]."""
        exists = ~np.isnan(labels) if np.isnan(self.missing) else labels != self.missing
        return np.asarray(exists.reshape(len(labels), -1).any(axis=-1))

    def complete(self, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Labels [B, ...] with 0 where they are missing, and float32 weights of the same shape: 0 there, else 1."""
        exists = self.exists(labels)
        return tf.where(exists, labels, tf.zeros_like(labels)), tf.cast(exists, tf.float32)

    def class_weights(self, tally: Tally) -> dict[int, float] | None:
        """`{class id: weight}` that balances the classes, or None for kinds without classes."""
        return None

    def balance(self, tally: Tally) -> dict[str, Any]:
        """Arguments of the head that make rare labels weigh more, for kinds without classes; default none."""
        return {}


@dataclass(frozen=True)
class ClassKind(LabelKind):
    """One class out of several: int32 ids, shape (), -1 where missing. The tally counts labels per class, [C].

    Attributes:
        names: Names of the classes in the order of their ids, at least two.

    Example:
        >>> kind = ClassKind(("red", "green"))
        >>> kind.head().describe()["labels"], kind.tally(np.array([0, 0, 1, -1])).values.tolist()
        (['red', 'green'], [2, 1])
    """

    names: tuple[str, ...]

    kind = "class"

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise ValueError(
                message(
                    f"at least two different labels for a task of kind {self.kind!r}",
                    "leave the task out, or add examples of another class",
                    labels=list(self.names),
                )
            )

    @property
    def num_classes(self) -> int:
        return len(self.names)

    @property
    def spec(self) -> tf.TensorSpec:
        return tf.TensorSpec((), tf.int32)

    def head(self, **arguments: Any) -> heads.Head:
        return heads.Classifier(labels=self.names, **arguments)

    def tally(self, labels: np.ndarray) -> Tally:
        counts = np.bincount(labels[labels >= 0], minlength=len(self.names))
        return Tally(len(labels), int(counts.sum()), counts)

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "labels": list(self.names)}

    def class_weights(self, tally: Tally) -> dict[int, float] | None:
        """`N / (C * N_c)` over the C classes that occur: every class counts as much as any other."""
        occurring = np.flatnonzero(tally.values)
        return {int(c): tally.labelled / (len(occurring) * int(tally.values[c])) for c in occurring}


@dataclass(frozen=True)
class OrdinalKind(ClassKind):
    """One class out of several that have an order: ids from lowest to highest, otherwise as `ClassKind`.

    Example:
        >>> OrdinalKind(("low", "middle", "high")).describe()
        {'kind': 'ordinal', 'labels': ['low', 'middle', 'high']}
    """

    kind = "ordinal"

    def head(self, **arguments: Any) -> heads.Head:
        return heads.Ordinal(labels=self.names, **arguments)


@dataclass(frozen=True)
class MultiLabelKind(LabelKind):
    """Several yes-or-no attributes: float32 0 or 1, shape (A,), NaN where missing. The tally counts 0s and 1s, [A, 2].

    Attributes:
        names: Names of the attributes.

    Example:
        >>> kind = MultiLabelKind(("hat", "smile"))
        >>> kind.tally(np.array([[0.0, 1.0], [1.0, np.nan]])).values.tolist()
        [[1, 1], [0, 1]]
    """

    names: tuple[str, ...]

    kind = "multilabel"
    missing = float("nan")

    @property
    def spec(self) -> tf.TensorSpec:
        return tf.TensorSpec((len(self.names),), tf.float32)

    def head(self, **arguments: Any) -> heads.Head:
        return heads.MultiLabel(labels=self.names, **arguments)

    def tally(self, labels: np.ndarray) -> Tally:
        counts = np.stack([(labels == value).sum(axis=0) for value in (0, 1)], axis=-1)
        return Tally(len(labels), int((~np.isnan(labels)).any(axis=-1).sum()), counts)

    def balance(self, tally: Tally) -> dict[str, Any]:
        """`pos_weight`, negatives over positives of each attribute; 1 where one of them does not occur."""
        negatives, positives = tally.values.T
        both = (negatives > 0) & (positives > 0)
        return {"pos_weight": np.where(both, negatives / np.maximum(positives, 1), 1.0).tolist()}

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "labels": list(self.names)}


@dataclass(frozen=True)
class NumberKind(LabelKind):
    """One number, or several in one label: float32, shape () or (units,), NaN where missing. The tally counts labels.

    Attributes:
        units: How many numbers, default 1.
        mean, std: Of the training labels, which the head scales by: one number each, or one per unit.
        low, high: Smallest and largest training label.
        unit: Name of the unit, e.g. `"EUR"`.

    Example:
        >>> kind = NumberKind.of(np.array([20.0, 40.0, np.nan]), unit="years")
        >>> kind.head().describe()["mean"], kind.low, kind.high
        ([30.0], 20.0, 40.0)
    """

    units: int = 1
    mean: float | list[float] = 0.0
    std: float | list[float] = 1.0
    low: float = field(default=float("nan"))
    high: float = field(default=float("nan"))
    unit: str = ""

    kind = "number"
    missing = float("nan")

    @classmethod
    def of(cls, training_labels: np.ndarray, unit: str = "") -> "NumberKind":
        """The kind with scale and range of these labels, [N] or [N, units]; at least one label per unit exists."""
        units = 1 if training_labels.ndim == 1 else training_labels.shape[1]
        scaled = heads.Regressor(units).fit_scale(training_labels)
        low, high = float(np.nanmin(training_labels)), float(np.nanmax(training_labels))
        return cls(units, scaled.mean, scaled.std, low, high, unit)

    def measures_as(self, other: "NumberKind") -> bool:
        """Whether labels of the other kind are as many numbers in the same unit."""
        return (self.units, self.unit) == (other.units, other.unit)

    def pooled(self, other: "NumberKind", count: int, others: int) -> "NumberKind":
        """The kind of both sets of labels together, of which there are `count` and `others`.

        Example:
            >>> one, two = NumberKind.of(np.array([0.0, 2.0])), NumberKind.of(np.array([7.0]))
            >>> one.pooled(two, 2, 1).mean, NumberKind.of(np.array([0.0, 2.0, 7.0])).mean
            (3.0, 3.0)
        """
        share = np.array([count, others]) / (count + others)
        means, stds = (np.stack([getattr(self, name), getattr(other, name)]) for name in ("mean", "std"))
        mean = share @ means
        std = np.sqrt(share @ stds**2 + share.prod() * (means[0] - means[1]) ** 2)
        low, high = min(self.low, other.low), max(self.high, other.high)
        return NumberKind(self.units, mean.tolist(), std.tolist(), low, high, self.unit)

    @property
    def spec(self) -> tf.TensorSpec:
        return tf.TensorSpec(() if self.units == 1 else (self.units,), tf.float32)

    def head(self, **arguments: Any) -> heads.Head:
        return heads.Regressor(self.units, mean=self.mean, std=self.std, unit=self.unit, **arguments)

    def tally(self, labels: np.ndarray) -> Tally:
        exists = ~np.isnan(labels)
        return Tally(len(labels), int(exists.reshape(len(labels), -1).any(axis=-1).sum()), exists.sum(axis=0))

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "unit": self.unit, "range": [self.low, self.high]}


KINDS: dict[str, type[LabelKind]] = {
    cls.kind: cls  # type: ignore[type-abstract]
    for cls in (ClassKind, MultiLabelKind, NumberKind, OrdinalKind)
}


def kind_named(name: str, task: str | None = None) -> type[LabelKind]:
    """The class behind a kind's name.

    Raises:
        ValueError: There is no such kind.
    """
    if not isinstance(name, str) or name not in KINDS:
        of_task = "" if task is None else f" for task {task!r}"
        raise ValueError(message(f"a kind among {list(KINDS)}{of_task}", "choose one", kind=name))
    return KINDS[name]
