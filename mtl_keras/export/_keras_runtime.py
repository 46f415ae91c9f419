"""A .keras file as a runtime: the model as `model.predict` runs it, without the rest of `predict`."""

from os import PathLike, fspath
from typing import Any

import numpy as np

from mtl_keras.errors import message
from mtl_keras.quiet import import_tensorflow

SIGNATURE = "all_tasks"


class KerasRuntime:
    """A .keras file in Keras, its graph compiled by `tf.function`; loaded in safe mode: no code of the file is run."""

    def __init__(self, path: str | PathLike[str]):
        import_tensorflow()
        import keras
        import tensorflow as tf

        import mtl_keras.models  # noqa: F401  registers every class that a saved model can hold

        try:
            self._model = keras.models.load_model(path, compile=False, safe_mode=True)
        # damage shows as anything from a bad zip to a missing key
        except Exception as error:
            cause = str(error).rsplit("Exception encountered: ", 1)[-1]  # Keras wraps it in the file's whole config
            raise ValueError(
                message("a .keras file that loads", "save the model again", path=fspath(path), error=cause[:300])
            ) from error
        if not isinstance(getattr(self._model, "output", None), dict):
            raise ValueError(
                message(
                    "a functional model with dict outputs", "name its outputs", path=fspath(path), model=self._model
                )
            )
        self._call = tf.function(lambda inputs: self._model(inputs, training=False))

    def signatures(self) -> dict[str, list[str]]:
        return {SIGNATURE: list(self._model.output)}

    def inputs(self, signature: str | None = None) -> dict[str, tuple[list[int], str]]:
        return {
            tensor.name: ([-1 if side is None else int(side) for side in tensor.shape], str(tensor.dtype))
            for tensor in self._model.inputs
        }

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import keras

        structure: Any = keras.tree.map_structure(lambda tensor: inputs[tensor.name], self._model.input)
        return {name: value.numpy() for name, value in self._call(structure).items()}
