"""LiteRT (.tflite): for phones, browsers and small boards."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import keras
import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._atomic import appearing
from mtl_keras.export._calibration import calibration_examples
from mtl_keras.export._convert import convert
from mtl_keras.export._inference_graph import checked_tasks, inference_graph, task_graph
from mtl_keras.export._manifest import Manifest
from mtl_keras.export._metadata import about, with_metadata
from mtl_keras.export._parity import check_signatures, named_inputs, parity
from mtl_keras.export._pixels import pixel_steps, scaled_inputs, to_pixels
from mtl_keras.export._presets import Preset, preset
from mtl_keras.export._runtimes import open_runtime

_COMPARED = 16  # calibration examples that a quantized file is compared on


def litert(
    model: keras.Model,
    path: str | PathLike[str],
    quantization: str | None = None,
    batch_size: int | None = 1,
    tasks: Sequence[str] | None = None,
    inputs: Any = None,
    tolerance: float | None = None,
    calibration: Any = None,
    before: Mapping[str, Any] | None = None,
    pixels: bool = False,
    examples: int = 200,
    seed: int = 0,
) -> dict[str, float]:
    """Write a .tflite file, run it and compare it with the model by name.

    Signatures: `all_tasks`, and `task_<name>` computing one task only; they share the weights. Only operations built
    into LiteRT are used. The file says what its outputs mean, see `read_metadata`.

    Args:
        model: A functional model with dict outputs, any precision; the file computes in float32.
        path: A file that does not exist.
        quantization: `None` or `"float32"` (default), `"float16"` (weights in half precision), `"dynamic"` (weights in
            8 bits, activations scaled as they come), `"int8"` (weights and activations in 8 bits; inputs, outputs and
            the heads' output layers in float), `"int8_full"` (nothing in float, inputs and outputs neither: for
            integer hardware), `"int16x8"` (weights in 8, activations in 16 bits); with the extra `quant` also
            ai-edge-quantizer's `"weight_only_wi8"`, `"weight_only_wi4"`, `"dynamic_wi8"` and `"dynamic_wi4"` (weights
            in 8 or 4 bits).
        batch_size: 1 (default); `None` leaves it free, which browsers and some accelerators refuse.
        tasks: The tasks to keep, default all; the heads of the others are not in the file.
        inputs: What to compare on: `{input name: batch}`, or a batch for a model with one input; default 4 random
            examples, or 16 of the calibration.
        tolerance: Largest error allowed, see `parity`; default 1e-5, for float16 5e-3, for int16x8 and weights in 8
            bits 1e-1, for int8 and weights in 4 bits 0.5, which finds a file that is wrong, not one that is worse:
            `quantize` measures the loss.
        calibration: Data for the integer kinds, as for `calibration_examples`.
        before: What a caller does to the inputs, as for `Manifest.of`; written into the file.
        pixels: Whether the inputs that `before` names take whole-number pixels (uint8), scaled inside the file; default
            False.
        examples: How many examples to calibrate with, default 200.
        seed: Seed of their choice, default 0.

    Returns:
        `{task: largest error}`.

    Raises:
        ValueError: The path exists, an operation has no LiteRT form (named, with its layer), an integer kind has no
            calibration, or an output differs by more than the tolerance. There is nothing at `path` then.

    Example:
        >>> import tempfile, keras
        >>> x = keras.Input((4,), name="x")
        >>> model = keras.Model(x, {"a": keras.layers.Dense(2)(x)})
        >>> errors = litert(model, tempfile.mkdtemp() + "/model.tflite")
        >>> max(errors.values()) <= 1e-5
        True
    """
    kind = preset(quantization)
    _check_batch_size(batch_size, kind)
    whole = inference_graph(model, ranges=kind.name in ("int8", "int8_full"))
    plain = whole if tasks is None else task_graph(whole, *checked_tasks(tasks, list(whole.output)))
    manifest = Manifest.of(model, before)
    steps = pixel_steps(manifest.preprocessing["before"], plain) if pixels else {}
    compared, shown = plain if not steps else scaled_inputs(plain, steps), None
    if kind.calibrated:
        shown = _calibrate(kind, model, calibration, examples, seed)
        if inputs is None:
            inputs = {name: values[:_COMPARED] for name, values in shown.items()}
    if steps:
        inputs = to_pixels(named_inputs(plain, inputs), steps)
    with appearing(path) as unfinished:
        converted = convert(plain, kind, batch_size, shown, steps)
        unfinished.write_bytes(with_metadata(converted, about(manifest, plain, steps)))
        check_signatures(open_runtime(unfinished), list(plain.output), serving=False)
        return parity(compared, unfinished, inputs, kind.tolerance if tolerance is None else tolerance)


def _check_batch_size(batch_size: int | None, kind: Preset) -> None:
    if batch_size is None:
        if kind.integer_ends:
            raise ValueError(
                message(f"a fixed batch size for {kind.name!r}", "pass batch_size=1", batch_size=batch_size)
            )
    elif isinstance(batch_size, bool) or batch_size != int(batch_size) or batch_size < 1:
        raise ValueError(message("a batch size of at least 1, or None", "pass batch_size=1", batch_size=batch_size))


def _calibrate(kind: Preset, model: keras.Model, calibration: Any, examples: int, seed: int) -> dict[str, np.ndarray]:
    if calibration is None:
        raise ValueError(
            message(
                f"calibration data for {kind.name!r}",
                "pass calibration=, a data source, a tf.data.Dataset of batches or arrays",
                calibration=None,
            )
        )
    return calibration_examples(model, calibration, examples, seed)
