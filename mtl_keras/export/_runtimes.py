"""Running an artefact by signature and by name, whatever its format."""

from contextlib import nullcontext
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._scaled import scaled_tensors
from mtl_keras.export._seal import is_broken
from mtl_keras.quiet import import_tensorflow, quiet_stderr

ALL_TASKS = "all_tasks"
SERVING = "serving_default"


class Runtime(Protocol):
    """Something that runs signatures."""

    def signatures(self) -> dict[str, list[str]]:
        """`{signature: output names}`."""

    def inputs(self, signature: str | None = None) -> dict[str, tuple[list[int], str]]:
        """`{input name: (shape with -1 for a free axis, dtype)}` of a signature, default the first.

        What holds real numbers as scaled integers counts as float32: `run` takes and gives real numbers.
        """

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of one signature by name."""


def open_runtime(path: str | PathLike[str], threads: int | None = None) -> Runtime:
    """The runtime of a file or folder.

    Args:
        path: A .tflite file (needs ai-edge-litert only), an .onnx file (onnxruntime only), a SavedModel folder or a
            .keras file (TensorFlow).
        threads: Threads of LiteRT and onnxruntime, default their own choice.

    Raises:
        ValueError: It is missing, damaged, or something else.
    """
    path = Path(path)
    if path.is_dir():
        return SavedModelRuntime(path)
    if not path.is_file():
        raise ValueError(
            message("a .tflite file, a SavedModel folder or a .keras file", "check the path", path=fspath(path))
        )
    if path.suffix == ".keras":
        from mtl_keras.export._keras_runtime import KerasRuntime

        return KerasRuntime(path)
    if path.suffix == ".onnx":
        from mtl_keras.export._onnx_runtime import OnnxRuntime

        return OnnxRuntime(path, threads)
    return LiteRTRuntime(path, threads)


class LiteRTRuntime:
    """A .tflite file in ai-edge-litert's interpreter."""

    def __init__(self, path: str | PathLike[str], threads: int | None = None):
        from ai_edge_litert.interpreter import Interpreter

        self._path = fspath(path)
        data = Path(path).read_bytes()
        if data[4:8] != b"TFL3":
            raise ValueError(message("a LiteRT file", "export the model again", path=self._path, begins=data[:8]))
        if is_broken(data):
            raise ValueError(
                message("a LiteRT file as it was exported", "export again", path=self._path, checksum="wrong")
            )
        try:
            with quiet_stderr():
                # the interpreter reads from this buffer and from files alike; bytes do not change under its hands
                self._interpreter = Interpreter(model_content=data, num_threads=threads)
                self._signatures = self._interpreter.get_signature_list()
                self._runners = {name: self._interpreter.get_signature_runner(name) for name in self._signatures}
                self._inputs = {name: _read_inputs(runner) for name, runner in self._runners.items()}
                self._taken = {key: scaled_tensors(runner.get_input_details()) for key, runner in self._runners.items()}
                self._given = {
                    key: scaled_tensors(runner.get_output_details()) for key, runner in self._runners.items()
                }
        except (ValueError, RuntimeError, IndexError) as error:
            raise self._damaged(error) from error
        if not self._runners:
            raise ValueError(
                message("a LiteRT file with signatures", "export it with mtl_keras.export.litert", path=self._path)
            )
        for name, inputs in self._inputs.items():
            if not inputs or not all(shape for shape, _ in inputs.values()):
                raise ValueError(
                    message(
                        f"inputs with a batch axis in signature {name!r}",
                        "export it with mtl_keras.export.litert",
                        path=self._path,
                        inputs=inputs,
                    )
                )
        self._warm: set[str] = set()

    def signatures(self) -> dict[str, list[str]]:
        return {name: list(parts["outputs"]) for name, parts in self._signatures.items()}

    def inputs(self, signature: str | None = None) -> dict[str, tuple[list[int], str]]:
        return self._inputs[signature or next(iter(self._inputs))]

    def stored_as_integers(self, signature: str) -> list[str]:
        """The inputs and outputs that hold real numbers as scaled integers, which `run` converts."""
        return [*self._taken[signature], *self._given[signature]]

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name; a file for batches of n runs the examples n by n, the last ones padded."""
        fixed = next(iter(self._inputs[signature].values()))[0][0]
        size = len(next(iter(inputs.values())))
        if fixed in (-1, size):
            return self._call(signature, inputs)
        parts: list[dict[str, np.ndarray]] = []
        for start in range(0, size, fixed):
            rows = np.minimum(np.arange(start, start + fixed), size - 1)
            parts.append(self._call(signature, {name: value[rows] for name, value in inputs.items()}))
        return {name: np.concatenate([part[name] for part in parts])[:size] for name in parts[0]}

    def _call(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        taken, given = self._taken[signature], self._given[signature]
        inputs = {name: taken[name].stored(value) if name in taken else value for name, value in inputs.items()}
        # the first run tells of its delegate
        quiet = nullcontext() if signature in self._warm else quiet_stderr()
        try:
            with quiet:
                outputs = dict(self._runners[signature](**inputs))
        except (ValueError, RuntimeError, IndexError) as error:
            raise self._damaged(error) from error
        self._warm.add(signature)
        return {name: given[name].real(value) if name in given else value for name, value in outputs.items()}

    def _damaged(self, error: Exception) -> ValueError:
        # what LiteRT says ends in a list of its nodes
        said = str(error)[:200]
        return ValueError(message("a LiteRT file that runs", "export it again", path=self._path, error=said))


def _read_inputs(runner: Any) -> dict[str, tuple[list[int], str]]:
    details = runner.get_input_details()
    dtypes = {name: np.dtype(detail["dtype"]).name for name, detail in details.items()}
    dtypes |= dict.fromkeys(scaled_tensors(details), "float32")
    return {name: ([int(side) for side in detail["shape_signature"]], dtypes[name]) for name, detail in details.items()}


class SavedModelRuntime:
    """A SavedModel folder in TensorFlow."""

    def __init__(self, path: str | PathLike[str]):
        import_tensorflow()
        import tensorflow as tf

        if not (Path(path) / "saved_model.pb").is_file():
            raise ValueError(message("a SavedModel folder (saved_model.pb)", "check the path", path=fspath(path)))
        try:
            self._loaded: Any = tf.saved_model.load(fspath(path))
        # damage shows as anything from a missing key to a failed operation
        except Exception as error:
            raise ValueError(
                message("a SavedModel that is whole", "export it again", path=fspath(path), error=str(error)[:200])
            ) from error
        # what takes the bytes of image files is for clients, not for arrays
        named = dict(getattr(self._loaded, "signatures", {}))
        self._functions = {name: function for name, function in named.items() if name != "image_bytes"}
        if not self._functions:
            raise ValueError(
                message(
                    "a SavedModel with signatures", "export it with mtl_keras.export.saved_model", path=fspath(path)
                )
            )

    def signatures(self) -> dict[str, list[str]]:
        return {name: list(function.structured_outputs) for name, function in self._functions.items()}

    def inputs(self, signature: str | None = None) -> dict[str, tuple[list[int], str]]:
        _, by_name = self._functions[signature or next(iter(self._functions))].structured_input_signature
        return {
            name: ([-1 if n is None else int(n) for n in spec.shape], spec.dtype.name) for name, spec in by_name.items()
        }

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        outputs = self._functions[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}
