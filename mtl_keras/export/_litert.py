"""LiteRT (.tflite): for phones, browsers and small boards."""

import re
import tempfile
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.export._atomic import appearing
from mtl_keras.export._inference_graph import inference_graph
from mtl_keras.export._parity import TOLERANCE, example_inputs, parity
from mtl_keras.export._quiet import quiet_stderr
from mtl_keras.export._saved_model import write_saved_model

# largest error that counts as "the same model" where weights lose digits: half a float16 step, an 8-bit step
_TOLERANCES = {"float32": TOLERANCE, "float16": 5e-3, "dynamic": 1e-1}


def litert(
    model: keras.Model,
    path: str | PathLike[str],
    quantization: str | None = None,
    batch_size: int | None = 1,
    tasks: list[str] | None = None,
    inputs: dict[str, np.ndarray] | None = None,
    tolerance: float | None = None,
) -> dict[str, float]:
    """Write a .tflite file, run it and compare it with the model by name.

    Signatures: `all_tasks`, and `task_<name>` computing one task only; they share the weights. Only operations built
    into LiteRT are used.

    Args:
        model: A functional model with dict outputs.
        path: A file that does not exist.
        quantization: `None` or `"float32"` (default), `"float16"` (weights in half precision), `"dynamic"` (weights in
            8 bits, computing in float).
        batch_size: 1 (default); `None` leaves it free, which browsers and some accelerators refuse.
        tasks: The tasks to keep, default all; the heads of the others are not in the file.
        inputs: `{input name: batch}` to compare on; random ones by default.
        tolerance: Largest error allowed; default 1e-5, for float16 5e-3, for dynamic 1e-1, see `parity`.

    Returns:
        `{task: largest error}`.

    Raises:
        ValueError: The path exists, an operation has no LiteRT form (named), or an output differs by more than the
            tolerance.

    Example:
        >>> import tempfile, keras
        >>> x = keras.Input((4,), name="x")
        >>> model = keras.Model(x, {"a": keras.layers.Dense(2)(x)})
        >>> errors = litert(model, tempfile.mkdtemp() + "/model.tflite")
        >>> max(errors.values()) <= 1e-5
        True
    """
    kind = quantization or "float32"
    if kind not in _TOLERANCES:
        raise ValueError(message(f"a quantization among {list(_TOLERANCES)}", "choose one", quantization=quantization))
    plain = inference_graph(model)
    unknown = [task for task in tasks or [] if task not in plain.output]
    if unknown:
        raise ValueError(message(f"tasks among {list(plain.output)}", "correct the name", tasks=unknown[0]))
    chosen = plain if tasks is None else keras.Model(plain.input, {task: plain.output[task] for task in tasks})
    with appearing(path) as unfinished:
        unfinished.write_bytes(_convert(chosen, kind, batch_size))
        allowed = _TOLERANCES[kind] if tolerance is None else tolerance
        return parity(chosen, unfinished, inputs or example_inputs(chosen), allowed)


def _convert(plain: keras.Model, kind: str, batch_size: int | None) -> bytes:
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        saved = Path(folder) / "saved_model"
        write_saved_model(plain, saved, batch_size, default=False)
        keys = ["all_tasks", *[f"task_{name}" for name in plain.output]]
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=keys)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            return converter.convert()
        except Exception as error:
            # the converter's error class is private
            raise _explained(error) from error


def _explained(error: Exception) -> Exception:
    names = re.findall(r"\btf\.([A-Z]\w+)", str(error))
    if not names:
        return error
    do: Any = "replace the layers that use them; LiteRT's Select TF operations are not shipped with most runtimes"
    return ValueError(message("operations that LiteRT has built in", do, operations=sorted(set(names))))
