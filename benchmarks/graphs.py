"""The graphs that speed is measured on, described once for every framework that takes part."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

import mtl_keras as mtl

WARM_UP = 3
# TensorFlow takes every operation for a long one, which needs a thread of its own, until it has run it often enough to
# know better: short steps are slower before
SHORT_STEPS = 100


@dataclass(frozen=True)
class Case:
    """A trunk, K heads of one dense layer, and a batch size.

    Attributes:
        name: As the table calls it.
        image: Shape of the inputs.
        trunk: Makes the trunk.
        tasks: K.
        classes: Classes of each head; 1 is a binary head.
        batch: Batch size.
        rounds: Steps to time.
        warm_up: Steps before these.
    """

    name: str
    image: tuple[int, int, int]
    trunk: Callable[[], Any]
    tasks: int
    classes: int
    batch: int
    rounds: int
    warm_up: int = WARM_UP

    def graph(self) -> tuple[Any, dict[str, Any]]:
        """Inputs and outputs, with the same first values each time."""
        keras.utils.set_random_seed(0)
        inputs = keras.Input(self.image, name="image")
        features = self.trunk()(inputs)
        activation = "sigmoid" if self.classes == 1 else "softmax"
        names = [f"task{k}" for k in range(self.tasks)]
        return inputs, {n: keras.layers.Dense(self.classes, activation, name=n)(features) for n in names}

    def losses(self) -> dict[str, str]:
        loss = "binary_crossentropy" if self.classes == 1 else "sparse_categorical_crossentropy"
        return {f"task{k}": loss for k in range(self.tasks)}

    def data(self, batches: int = 4) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Random images and labels."""
        rng = np.random.default_rng(0)
        size = batches * self.batch
        labels = {name: rng.integers(0, max(self.classes, 2), size).astype("int32") for name in self.losses()}
        return rng.normal(size=(size, *self.image)).astype("float32"), labels


def lenet() -> Any:
    return mtl.trunks.Conv((10, 20), kernel_size=5, padding="valid", dense=(50,))


def resnet() -> Any:
    return mtl.trunks.Residual.resnet18(width=32)


def attributes() -> Any:
    return mtl.trunks.Conv((16, 32, 64, 128), output="average", dense=(128,))


LENET = Case("LeNet, 36x36", (36, 36, 1), lenet, 2, 10, 128, 150, SHORT_STEPS)
RESNETS = [
    Case("ResNet-18, width 32, 64x64", (64, 64, 3), resnet, tasks, 10, 8, rounds)
    for tasks, rounds in ((2, 15), (5, 11), (10, 9))
]
BINARY = Case("40 binary heads, 64x64", (64, 64, 3), attributes, 40, 1, 16, 50, SHORT_STEPS)
CASES = [LENET, *RESNETS, BINARY]
