"""Does an artefact say what the Keras model says? Asked of every output, by name, in every signature."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._examples import random_arrays
from mtl_keras.export._runtimes import ALL_TASKS, SERVING, Runtime, open_runtime

TOLERANCE = 1e-5


def parity(
    model: keras.Model, path: str | PathLike[str], inputs: Any = None, tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Run an artefact's signatures and compare each output with the model's.

    `error = max |artefact - model| / max(1, max |model|)`: absolute for probabilities, relative for large values.

    Args:
        model: The Keras model, functional with dict outputs.
        path: A .tflite file, a SavedModel folder or a .keras file.
        inputs: `{input name: batch}`, or a batch for a model with one input; 4 random examples by default.
        tolerance: Largest error allowed, default 1e-5.

    Returns:
        `{task: largest error over all signatures that give it}`.

    Raises:
        ValueError: The artefact cannot be run; an output is missing, has another shape, is not finite or differs too
            much; or the model's own output is not finite.

    Example:
        >>> import tempfile, keras
        >>> x = keras.Input((4,), name="x")
        >>> model = keras.Model(x, {"a": keras.layers.Dense(2)(x)})
        >>> path = tempfile.mkdtemp() + "/model.keras"
        >>> model.save(path)
        >>> parity(model, path)
        {'a': 0.0}
    """
    batch = named_inputs(model, inputs)
    expected = keras_outputs(model, batch)
    if Path(path).suffix == ".keras":
        outputs = {ALL_TASKS: keras_outputs(_load(path), batch)}
    else:
        runtime = open_runtime(path)
        outputs = {signature: runtime.run(signature, batch) for signature in runtime.signatures()}
    errors = dict.fromkeys(expected, 0.0)
    seen: set[str] = set()
    for signature, found in outputs.items():
        for name, value in found.items():
            error = output_error(value, expected[name]) if name in expected else np.inf
            if not error <= tolerance:
                raise ValueError(
                    message(
                        f"outputs within {tolerance:g} of the Keras model's",
                        "check the layers of that task; the artefact is not to be used",
                        task=name,
                        error=float(error),
                        signature=signature,
                        file=Path(path).name,
                    )
                )
            errors[name] = max(errors[name], error)
            seen.add(name)
    if seen != set(expected):
        lost = [task for task in expected if task not in seen]
        raise ValueError(message(f"the outputs {list(expected)}", "export again", missing=lost, file=Path(path).name))
    return errors


def check_signatures(runtime: Runtime, tasks: list[str], serving: bool) -> None:
    """Raise unless there are exactly the signatures with exactly the outputs that an export promises.

    Converters have dropped signatures silently before.
    """
    wanted = {ALL_TASKS: sorted(tasks), **{f"task_{task}": [task] for task in tasks}}
    if serving:
        wanted[SERVING] = sorted(tasks)
    found = {signature: sorted(names) for signature, names in runtime.signatures().items()}
    if found != wanted:
        raise ValueError(message(f"the signatures {wanted}", "report this model", signatures=found))


def named_inputs(model: keras.Model, inputs: Any = None) -> dict[str, np.ndarray]:
    """Inputs as `{name: batch}` of the model's dtypes; random ones where None are given.

    Raises:
        ValueError: Names do not match.
    """
    if inputs is None:
        return example_inputs(model)
    names = [tensor.name for tensor in model.inputs]
    if not isinstance(inputs, Mapping) and len(names) == 1:
        inputs = {names[0]: inputs}
    if not isinstance(inputs, Mapping) or set(inputs) != set(names):
        given = list(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
        raise ValueError(message(f"inputs by name {names}", "pass {name: batch}", inputs=given))
    return {tensor.name: np.asarray(inputs[tensor.name], dtype=tensor.dtype) for tensor in model.inputs}


def example_inputs(model: keras.Model, batch_size: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs for a model, see `random_arrays`; free axes get 8."""
    shapes = {t.name: (batch_size, *[8 if side is None else side for side in t.shape[1:]]) for t in model.inputs}
    return random_arrays({t.name: (shapes[t.name], str(t.dtype)) for t in model.inputs}, seed)


def keras_outputs(model: keras.Model, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a functional model with dict outputs says; refused where it is not finite."""
    structure = keras.tree.map_structure(lambda tensor: batch[tensor.name], model.input)
    outputs = {task: np.asarray(value) for task, value in model(structure, training=False).items()}
    for task, value in outputs.items():
        if not np.isfinite(value).all():
            raise ValueError(
                message(
                    "a Keras model with finite outputs", "check its weights and the inputs", task=task, values="NaN/inf"
                )
            )
    return outputs


def _load(path: str | PathLike[str]) -> keras.Model:
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        raise ValueError(
            message(
                "a .keras file that loads again",
                "register custom classes with keras.saving.register_keras_serializable, and use no Lambda layers",
                file=Path(path).name,
                error=str(error)[:300],
            )
        ) from error


def output_error(value: np.ndarray, expected: np.ndarray) -> float:
    """The error that `parity` speaks of; infinite where shapes differ."""
    if value.shape != expected.shape:
        return np.inf
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    return float(np.max(np.abs(value.astype("float64") - expected.astype("float64")), initial=0.0)) / scale
