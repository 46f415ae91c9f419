"""One example of every head, with labels that fit it: a new head is tested by adding its row."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest

from mtl_keras import heads

NAN = float("nan")


@dataclass(frozen=True)
class Example:
    """A head, four labels that exist, and their copy with the second example's labels missing."""

    head: heads.Head
    labels: np.ndarray
    with_missing: np.ndarray
    size: int  # values per example in the output


def make_examples() -> dict[str, Example]:
    hidden = {"hidden": (8,), "dropout": 0.25, "kernel_regularizer": keras.regularizers.L2(0.01)}
    attributes = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], "float32")
    lengths = np.array([[170.0, 60.0], [150.0, 45.0], [190.0, 90.0], [181.0, 77.0]], "float32")
    return {
        "classifier": Example(
            heads.Classifier(labels=["cat", "dog", "owl"], label_smoothing=0.1, **hidden),
            np.array([2, 0, 1, 2]),
            np.array([2, -1, 1, 2]),
            3,
        ),
        "multi_label": Example(
            heads.MultiLabel(labels=["hat", "beard"], pos_weight=[2.0, 1.0], thresholds=0.4, **hidden),
            attributes,
            np.array([[1, 0], [NAN, -1], [1, 1], [0, 0]], "float32"),
            2,
        ),
        "ordinal": Example(heads.Ordinal(4, **hidden), np.array([3, 0, 1, 2]), np.array([3, -1, 1, 2]), 4),
        "regressor": Example(
            heads.Regressor(2, unit=["cm", "kg"], loss="huber", **hidden).fit_scale(lengths),
            lengths,
            np.where([[False], [True], [False], [False]], NAN, lengths),
            2,
        ),
    }


@pytest.fixture
def examples() -> dict[str, Example]:
    return make_examples()
