"""Does an artefact say what the Keras model says? Asked of every output, by name, in every signature."""

from os import PathLike, fspath

import keras
import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._runtimes import open_runtime

TOLERANCE = 1e-5


def parity(
    model: keras.Model, path: str | PathLike[str], inputs: dict[str, np.ndarray], tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Run an artefact's signatures and compare each output with the model's.

    `error = max |artefact - model| / max(1, max |model|)`: absolute for probabilities, relative for large values.

    Args:
        model: The Keras model, with dict outputs.
        path: A .tflite file or a SavedModel folder.
        inputs: `{input name: batch}`.
        tolerance: Largest error allowed, default 1e-5.

    Returns:
        `{task: largest error over all signatures that give it}`.

    Raises:
        ValueError: An output is missing, has another shape, is not finite where the model's is, or differs too much.
    """
    runtime = open_runtime(path)
    structure = keras.tree.map_structure(lambda tensor: inputs[tensor.name], model.input)
    expected = {task: np.asarray(value) for task, value in model(structure, training=False).items()}
    errors = dict.fromkeys(expected, 0.0)
    seen: set[str] = set()
    for signature, names in runtime.signatures().items():
        outputs = runtime.run(signature, inputs)
        for name in names:
            error = _error(outputs[name], expected[name]) if name in expected else np.inf
            if not error <= tolerance:
                raise ValueError(
                    message(
                        f"outputs within {tolerance:g} of the Keras model's",
                        "check the layers of that task: the artefact is not kept",
                        task=name,
                        signature=signature,
                        error=float(error),
                        path=fspath(path),
                    )
                )
            errors[name] = max(errors[name], error)
            seen.add(name)
    lost = [task for task in expected if task not in seen]
    if lost:
        raise ValueError(
            message(f"all of the outputs {list(expected)}", "report this model", missing=lost, path=fspath(path))
        )
    return errors


def example_inputs(model: keras.Model, batch_size: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs for a model: numbers between 0 and 1, or small whole ones; free axes get 8."""
    rng = np.random.default_rng(seed)
    made = {}
    for tensor in model.inputs:
        shape = (batch_size, *[8 if side is None else side for side in tensor.shape[1:]])
        is_float = "float" in str(tensor.dtype)
        made[tensor.name] = (rng.random(shape) if is_float else rng.integers(0, 2, shape)).astype(tensor.dtype)
    return made


def _error(value: np.ndarray, expected: np.ndarray) -> float:
    if value.shape != expected.shape:
        return np.inf
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    return float(np.max(np.abs(value.astype("float64") - expected.astype("float64")), initial=0.0)) / scale
