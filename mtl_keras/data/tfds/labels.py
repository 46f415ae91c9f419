"""Labels of a task from the features of a tensorflow-datasets builder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.arrays import encode
from mtl_keras.data.columns import Column
from mtl_keras.data.kinds import ClassKind, LabelKind, MultiLabelKind, OrdinalKind
from mtl_keras.errors import message

Example = Mapping[str, Any]
Path = tuple[str, ...]


@dataclass(frozen=True)
class LabelFeature:
    """How the labels of one task are read.

    Attributes:
        paths: Keys that lead to the features of the builder that hold them.
        read: From an example to what is kept: ids, floats or texts.
        kind: The kind, where the builder says it; None where the training labels have to.
        stated: Kind's name for labels that the builder knows nothing of.
    """

    paths: tuple[Path, ...]
    read: Callable[[Example], tf.Tensor]
    kind: LabelKind | None = None
    stated: str = "number"

    def encoded(self, task: str, values: np.ndarray, training: np.ndarray) -> tuple[LabelKind, np.ndarray, int]:
        """Kind, labels [N, ...], and how many are outside the vocabulary of training.

        Args:
            task: The task, for errors.
            values: What `read` gave, [N, ...].
            training: Which examples are used for training, bool [N].
        """
        if self.kind is not None:
            return self.kind, values.astype(self.kind.spec.dtype.as_numpy_dtype), 0
        if values.dtype == object:
            values = np.array([text.decode("utf-8", "replace") for text in values], object)
        return encode(task, values, self.stated, None, training)


def label_feature(task: str, column: Column, features: Any) -> LabelFeature:
    """How to read the labels of a task.

    Args:
        task: The task.
        column: What the user states: features, and the kind.
        features: The builder's `info.features`.

    Raises:
        ValueError: There is no such feature, or its labels are of no kind that is known, or of another.
    """
    found = [feature_at(features, name, task) for name in column.columns or (task,)]
    if len(found) == 1 and _is_dict(found[0][1]):
        outer, inner = found[0]
        found = [((*outer, name), inner[name]) for name in inner]
        made = _several(found, column)
    else:
        made = _several(found, column) if len(found) > 1 else _single(*found[0], column)
    if made is None or (column.kind is not None and _kind_of(made) != column.kind):
        raise ValueError(
            message(
                f"features with labels of kind {column.kind or 'class, multilabel or number'!r} for task {task!r}",
                "state another kind, or choose other features",
                features={"/".join(path): type(feature).__name__ for path, feature in found},
            )
        )
    return made


def feature_at(features: Any, name: str, what: str) -> tuple[Path, Any]:
    """The feature with this name, and the keys that lead to it: `/` leads into nested ones, unless a name has it.

    Raises:
        ValueError: There is none.
    """
    path: list[str] = []
    found, left = features, name
    while left:
        key = left if _is_dict(found) and left in found else left.partition("/")[0]
        if not _is_dict(found) or key not in found:
            names = list(found) if _is_dict(found) else []
            do = (
                f"choose one of {names}" if names else f"leave out '/{left}': nothing lies within the feature before it"
            )
            raise ValueError(message(f"a feature of the builder for {what!r}", do, feature=name))
        path.append(key)
        found, left = found[key], left[len(key) + 1 :]
    return tuple(path), found


def value_at(example: Example, path: Path) -> Any:
    """The value of a feature in an example, by the keys that lead to it."""
    for key in path:
        example = example[key]
    return example


def _is_dict(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.FeaturesDict)


def _single(path: Path, feature: Any, column: Column) -> LabelFeature | None:
    names = getattr(feature, "names", None)
    inner = getattr(feature, "feature", None)
    if inner is not None and getattr(inner, "names", None):  # a sequence of classes: those that an example has

        def present(example: Example) -> tf.Tensor:
            return tf.reduce_max(tf.one_hot(value_at(example, path), len(inner.names)), axis=0)

        return LabelFeature((path,), present, MultiLabelKind(tuple(inner.names)))
    if names is not None:
        kind = (OrdinalKind if column.kind == "ordinal" else ClassKind)(tuple(names))
        return LabelFeature((path,), lambda example: value_at(example, path), kind)
    if inner is not None or feature.shape is None or None in feature.shape or len(feature.shape) > 1:
        return None
    dtype = tf.as_dtype(feature.dtype)
    if dtype == tf.bool and not feature.shape:
        return LabelFeature((path,), lambda example: value_at(example, path), ClassKind(("no", "yes")))
    if dtype == tf.string:
        if feature.shape or column.kind not in (None, "class"):
            return None
        return LabelFeature((path,), lambda example: value_at(example, path), stated="class")
    if not (dtype.is_floating or dtype.is_integer or dtype == tf.bool):
        return None
    if dtype == tf.bool:
        names = tuple(map(str, range(feature.shape[0])))
        return LabelFeature((path,), lambda example: _floats(value_at(example, path)), MultiLabelKind(names))
    whole = dtype.is_integer and not feature.shape
    stated = column.kind or ("class" if whole else "number")
    return LabelFeature((path,), lambda example: _floats(value_at(example, path)), stated=stated)


def _several(found: Sequence[tuple[Path, Any]], column: Column) -> LabelFeature | None:
    paths, features = tuple(path for path, _ in found), [feature for _, feature in found]
    if any(getattr(feature, "shape", None) != () or getattr(feature, "dtype", None) is None for feature in features):
        return None
    dtypes = [tf.as_dtype(feature.dtype) for feature in features]
    flags = all(
        dtype == tf.bool or len(getattr(feature, "names", None) or "123") == 2
        for dtype, feature in zip(dtypes, features, strict=True)
    )

    def read(example: Example) -> tf.Tensor:
        return tf.stack([_floats(value_at(example, path)) for path in paths])

    if flags and column.kind in (None, "multilabel"):
        return LabelFeature(paths, read, MultiLabelKind(tuple(path[-1] for path in paths)))
    if any(dtype == tf.string for dtype in dtypes):
        return None
    return LabelFeature(paths, read, stated=column.kind or "number")


def _floats(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(value, tf.float32)


def _kind_of(made: LabelFeature) -> str:
    return made.stated if made.kind is None else made.kind.kind
