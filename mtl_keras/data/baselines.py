"""What a constant answer scores: the least that a model has to beat."""

from collections.abc import Mapping

import numpy as np

from mtl_keras.data.source import Source
from mtl_keras.errors import message


def baselines(source: Source, split: str = "test") -> dict[str, float]:
    """The deciding metric of the best constant answer, taken from the training labels, on a split.

    For classes the most common one (accuracy), for ordered classes the median (mean distance in ranks), for numbers the
    median (mean absolute error, in their unit). Tasks of other kinds, and numbers with several units, are left out.

    Args:
        source: Where the labels come from.
        split: Where to measure, default `"test"`.

    Raises:
        ValueError: The split has no examples.

    Example:
        >>> from mtl_keras import data
        >>> y = {"sex": [0, 0, 0, 1, 0, 1], "age": [1.0, 2.0, 3.0, 4.0, 2.0, 5.0]}
        >>> columns = {"part": ["train"] * 4 + ["test"] * 2}
        >>> source = data.from_arrays(np.zeros((6, 1)), y, splits=data.Splits(column="part"), columns=columns)
        >>> baselines(source)
        {'sex': 0.5, 'age': 1.5}
    """
    train, measured = (_labels(source, name) for name in ("train", split))
    found = {}
    for task, kind in source.kinds.items():
        known, truth = (labels[kind.known(labels)] for labels in (train[task], measured[task]))
        if kind.kind == "class":
            found[task] = float((truth == np.argmax(np.bincount(known))).mean())
        elif kind.kind in ("ordinal", "number") and known.ndim == 1:
            found[task] = float(np.abs(truth - np.median(known)).mean())
    return found


def references(constant: Mapping[str, float]) -> dict[str, float]:
    """Those of `baselines` that errors can be judged beside in an overall score: nothing is a part of 0.

    Example:
        >>> references({"sex": 0.5, "age": 0.0})
        {'sex': 0.5}
    """
    return {task: value for task, value in constant.items() if value > 0}


def _labels(source: Source, split: str) -> dict[str, np.ndarray]:
    if split not in source.examples:
        raise ValueError(message("a split that has examples", f"choose one of {list(source.examples)}", split=split))
    return source.examples[split].own_labels()
