"""LiteRT (.tflite): for phones, browsers and small boards."""

import re
import tempfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.export._atomic import appearing
from mtl_keras.export._inference_graph import inference_graph, task_graph
from mtl_keras.export._parity import TOLERANCE, check_signatures, parity
from mtl_keras.export._runtimes import ALL_TASKS, open_runtime
from mtl_keras.export._saved_model import write_saved_model
from mtl_keras.export._seal import sealed
from mtl_keras.quiet import quiet_stderr

# largest error that counts as "the same model" where weights lose digits: half a float16 step, an 8-bit step
_TOLERANCES = {"float32": TOLERANCE, "float16": 5e-3, "dynamic": 1e-1}
_LATER = ("int8", "int8_full", "int16x8")


def litert(
    model: keras.Model,
    path: str | PathLike[str],
    quantization: str | None = None,
    batch_size: int | None = 1,
    tasks: Sequence[str] | None = None,
    inputs: Any = None,
    tolerance: float | None = None,
) -> dict[str, float]:
    """Write a .tflite file, run it and compare it with the model by name.

    Signatures: `all_tasks`, and `task_<name>` computing one task only; they share the weights. Only operations built
    into LiteRT are used.

    Args:
        model: A functional model with dict outputs, any precision; the file computes in float32.
        path: A file that does not exist.
        quantization: `None` or `"float32"` (default), `"float16"` (weights in half precision), `"dynamic"` (weights in
            8 bits, computing in float).
        batch_size: 1 (default); `None` leaves it free, which browsers and some accelerators refuse.
        tasks: The tasks to keep, default all; the heads of the others are not in the file.
        inputs: What to compare on: `{input name: batch}`, or a batch for a model with one input; default 4 random
            examples.
        tolerance: Largest error allowed; default 1e-5, for float16 5e-3, for dynamic 1e-1, see `parity`.

    Returns:
        `{task: largest error}`.

    Raises:
        ValueError: The path exists, an operation has no LiteRT form (named, with its layer), or an output differs by
            more than the tolerance. There is nothing at `path` then.

    Example:
        >>> import tempfile, keras
        >>> x = keras.Input((4,), name="x")
        >>> model = keras.Model(x, {"a": keras.layers.Dense(2)(x)})
        >>> errors = litert(model, tempfile.mkdtemp() + "/model.tflite")
        >>> max(errors.values()) <= 1e-5
        True
    """
    kind = _checked_kind(quantization)
    if batch_size is not None and (isinstance(batch_size, bool) or batch_size != int(batch_size) or batch_size < 1):
        raise ValueError(message("a batch size of at least 1, or None", "pass batch_size=1", batch_size=batch_size))
    plain = inference_graph(model)
    if tasks is not None:
        plain = task_graph(plain, *_checked_tasks(tasks, list(plain.output)))
    with appearing(path) as unfinished:
        unfinished.write_bytes(sealed(_convert(plain, kind, batch_size)))
        check_signatures(open_runtime(unfinished), list(plain.output), serving=False)
        return parity(plain, unfinished, inputs, _TOLERANCES[kind] if tolerance is None else tolerance)


def _checked_kind(quantization: str | None) -> str:
    kind = quantization or "float32"
    if kind in _LATER:
        raise ValueError(
            message(
                f"a quantization among {list(_TOLERANCES)} (whole-number kinds need calibration, which comes later)",
                "choose one of these",
                quantization=quantization,
            )
        )
    if kind not in _TOLERANCES:
        raise ValueError(message(f"a quantization among {list(_TOLERANCES)}", "choose one", quantization=quantization))
    return kind


def _checked_tasks(tasks: Sequence[str], known: list[str]) -> list[str]:
    given = [tasks] if isinstance(tasks, str) else list(tasks)
    if not given or len(set(given)) != len(given) or not set(given) <= set(known):
        raise ValueError(message(f"tasks among {known}, each once", "correct the names", tasks=given))
    return given


def _convert(plain: keras.Model, kind: str, batch_size: int | None) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved_model"
        write_saved_model(plain, saved, batch_size, serving=False)
        keys = [ALL_TASKS, *[f"task_{name}" for name in plain.output]]
        try:
            with quiet_stderr():
                converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=keys)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
                if kind != "float32":
                    converter.optimizations = [tf.lite.Optimize.DEFAULT]
                if kind == "float16":
                    converter.target_spec.supported_types = [tf.float16]
                return converter.convert()
        except Exception as error:
            # the converter's error class is private, and its text a dump of the whole graph
            raise _explained(str(error), plain) from None


def _explained(said: str, plain: keras.Model) -> ValueError:
    """The operations that LiteRT lacks and the layers that use them, from what the converter said."""
    lacking = set(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", said))
    if not lacking:
        return ValueError(
            message(
                "a graph that LiteRT's converter takes", "find the layer with litert(tasks=[...])", error=said[:300]
            )
        )
    places = [path.split("/") for op, path in re.findall(r'fused\["(\w+):", "([^"@]+)', said) if op in lacking]
    # in a path a layer's name may have been numbered
    parts = {name for path in places for part in path for name in (part, re.sub(r"_\d+$", "", part))}
    layers = [operation.name for operation in plain.operations if operation.name in parts]
    return ValueError(
        message(
            "operations that LiteRT has built in",
            "replace these layers; LiteRT's Select TF operations are not shipped with most runtimes",
            operations=sorted(lacking),
            layers=layers,
        )
    )
