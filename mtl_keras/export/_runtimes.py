"""Running an artefact by signature and by name, whatever its format."""

from os import PathLike, fspath
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._quiet import quiet_stderr


class Runtime(Protocol):
    """Something that runs signatures."""

    def signatures(self) -> dict[str, list[str]]:
        """`{signature: output names}`."""

    def inputs(self) -> dict[str, tuple[list[int], str]]:
        """`{input name: (shape with -1 for a free axis, dtype)}`."""

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of one signature by name."""


def open_runtime(path: str | PathLike[str], threads: int | None = None) -> Runtime:
    """The runtime for a .tflite file (needs ai-edge-litert only) or a SavedModel folder (needs TensorFlow)."""
    path = Path(path)
    if path.is_dir():
        return SavedModelRuntime(path)
    if not path.is_file():
        raise ValueError(message("a .tflite file or a SavedModel folder", "check the path", path=fspath(path)))
    return LiteRTRuntime(path, threads)


class LiteRTRuntime:
    """A .tflite file in ai-edge-litert's interpreter."""

    def __init__(self, path: str | PathLike[str], threads: int | None = None):
        from ai_edge_litert.interpreter import Interpreter

        data = Path(path).read_bytes()
        if data[4:8] != b"TFL3":
            raise ValueError(
                message("a LiteRT file (TFL3)", "export the model again", path=fspath(path), begins=data[:8])
            )
        try:
            with quiet_stderr():
                self._interpreter = Interpreter(model_content=data, num_threads=threads)
                found = self._interpreter.get_signature_list()
                self._runners = {name: self._interpreter.get_signature_runner(name) for name in found}
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                message("a LiteRT file that is whole", "export it again", path=fspath(path), error=str(error)[:200])
            ) from error
        if not found:
            raise ValueError(message("a LiteRT file with signatures", "export it with this library", path=fspath(path)))
        self._signatures = found

    def signatures(self) -> dict[str, list[str]]:
        return {name: list(parts["outputs"]) for name, parts in self._signatures.items()}

    def inputs(self) -> dict[str, tuple[list[int], str]]:
        runner = self._runners[next(iter(self._runners))]
        return {
            name: ([int(n) for n in detail["shape_signature"]], np.dtype(detail["dtype"]).name)
            for name, detail in runner.get_input_details().items()
        }

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        runner = self._runners[signature]
        fixed = [shape[0] for shape, _ in self.inputs().values()]
        size = len(next(iter(inputs.values())))
        if -1 in fixed or fixed[0] == size:
            return dict(runner(**inputs))
        if fixed[0] != 1:
            raise ValueError(
                message(f"batches of {fixed[0]}, as the file was exported", "split the batch", batch_size=size)
            )
        rows = [runner(**{name: value[i : i + 1] for name, value in inputs.items()}) for i in range(size)]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


class SavedModelRuntime:
    """A SavedModel folder in TensorFlow."""

    def __init__(self, path: str | PathLike[str]):
        import tensorflow as tf

        if not (Path(path) / "saved_model.pb").is_file():
            raise ValueError(message("a SavedModel folder (saved_model.pb)", "check the path", path=fspath(path)))
        try:
            self._loaded: Any = tf.saved_model.load(fspath(path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                message("a SavedModel that is whole", "export it again", path=fspath(path), error=str(error)[:200])
            ) from error
        self._functions = dict(self._loaded.signatures)

    def signatures(self) -> dict[str, list[str]]:
        return {name: list(function.structured_outputs) for name, function in self._functions.items()}

    def inputs(self) -> dict[str, tuple[list[int], str]]:
        _, by_name = self._functions["serving_default"].structured_input_signature
        return {
            name: ([-1 if n is None else int(n) for n in spec.shape], spec.dtype.name) for name, spec in by_name.items()
        }

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        outputs = self._functions[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}
