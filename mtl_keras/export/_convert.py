"""From an inference graph to the bytes of a .tflite file with a signature for every task."""

import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from mtl_keras.errors import message
from mtl_keras.export._flatbuffer import from_bytes, text, to_bytes
from mtl_keras.export._output_layers import cut_output_layers
from mtl_keras.export._pixels import Steps, scaled_inputs, to_pixels
from mtl_keras.export._presets import PRESETS, Preset
from mtl_keras.export._recipes import quantized_by
from mtl_keras.export._runtimes import ALL_TASKS
from mtl_keras.export._saved_model import endpoint, write_signatures
from mtl_keras.export._task_signatures import add_task_signatures, append
from mtl_keras.quiet import quiet_stderr

Arrays = dict[str, np.ndarray]


def convert(
    plain: keras.Model, preset: Preset, batch_size: int | None, examples: Arrays | None, pixels: Steps
) -> bytes:
    """Convert an inference graph.

    Args:
        plain: The inference graph.
        preset: How numbers are stored.
        batch_size: The batch axis; None for a free one.
        examples: `{input name: examples}` for calibration, as the graph takes them.
        pixels: Inputs that come as whole-number pixels, with their scale and offset.

    Returns:
        The bytes of the file; outputs and signatures have their names, nothing is compared yet.

    Raises:
        ValueError: LiteRT has no form for an operation.
    """
    float_ends = preset.calibrated and not preset.integer_ends
    body, ends = cut_output_layers(plain) if float_ends else (plain, None)
    if pixels:
        # a file without floats gets pixels as real numbers that happen to be stored with the scale 1
        stored = "float32" if preset.integer_ends else "uint8"
        body = scaled_inputs(body, pixels, stored)
        examples = None if examples is None else to_pixels(examples, pixels, stored)
    model = from_bytes(_converted(plain, body, preset, batch_size, examples, bool(pixels)))
    if ends is not None:
        append(model, from_bytes(_converted(plain, ends, PRESETS["float32"], batch_size)))
    if preset.integer_ends:
        _check_integers(model, plain)
    add_task_signatures(model)
    return to_bytes(model)


def _converted(
    plain: keras.Model,
    graph: keras.Model,
    preset: Preset,
    batch_size: int | None,
    examples: Arrays | None = None,
    pixels: bool = False,
) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved_model"
        write_signatures(saved, graph, {ALL_TASKS: endpoint(graph, batch_size)})
        try:
            with quiet_stderr(), warnings.catch_warnings():
                # the converter uses TensorFlow's own interpreter, which is to go one day
                warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter is deprecated")
                converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=[ALL_TASKS])
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
                preset.configure(converter)
                if preset.integer_ends and pixels:
                    converter.inference_input_type = tf.uint8
                if preset.calibrated:
                    assert examples is not None
                    converter.representative_dataset = lambda: _batches(examples, batch_size or 1)
                data = converter.convert()
        except Exception as error:
            # the converter's error class is private, and its text a dump of the whole graph
            raise _explained(str(error), plain) from None
    return data if preset.recipe is None else quantized_by(preset.recipe, data)


def _batches(examples: Arrays, size: int) -> Iterator[tuple[str, Arrays]]:
    count = len(next(iter(examples.values())))
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        yield ALL_TASKS, {name: values[rows] for name, values in examples.items()}


def _check_integers(model: Any, plain: keras.Model) -> None:
    """Raise if a file for integer hardware computes something in float, or leaves a side of a tensor free."""
    whole = {getattr(schema.TensorType, name) for name in ("INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL")}
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    floats = [text(tensor.name) for tensor in tensors if tensor.type not in whole]
    if floats:
        raise ValueError(
            message(
                "operations that LiteRT has in 8 bits",
                "replace these layers, drop the task with litert(tasks=[...]), or choose quantization='int8'",
                float_tensors=floats[:5],
                layers=_layers_in(floats, plain),
            )
        )
    free = [text(t.name) for t in tensors if t.shapeSignature is not None and -1 in list(t.shapeSignature)]
    if free:
        raise ValueError(
            message("tensors of fixed shape", "give every input a shape without None", free_sides=free[:5])
        )


def _explained(said: str, plain: keras.Model) -> ValueError:
    """The operations that LiteRT lacks and the layers that use them, from what the converter said."""
    lacking = set(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", said))
    if not lacking:
        return ValueError(
            message(
                "a graph that LiteRT's converter takes", "find the layer with litert(tasks=[...])", error=said[:300]
            )
        )
    paths = [path for op, path in re.findall(r'fused\["(\w+):", "([^"@]+)', said) if op in lacking]
    return ValueError(
        message(
            "operations that LiteRT has built in",
            "replace these layers; LiteRT's Select TF operations are not shipped with most runtimes",
            operations=sorted(lacking),
            layers=_layers_in(paths, plain),
        )
    )


def _layers_in(paths: list[str], plain: keras.Model) -> list[str]:
    """The layers whose names are part of these paths of operations."""
    # in a path a layer's name may have been numbered
    parts = {name for path in paths for part in re.split("[/;]", path) for name in (part, re.sub(r"_\d+$", "", part))}
    return [operation.name for operation in plain.operations if operation.name in parts]
