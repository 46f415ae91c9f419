"""A signature that takes images as the bytes of their files, so that a client needs to know nothing of the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.data.decoding import ImageDecoder
from mtl_keras.errors import message
from mtl_keras.export._examples import random_arrays
from mtl_keras.export._image_inputs import image_format
from mtl_keras.export._parity import keras_outputs, output_error

IMAGE_BYTES = "image_bytes"

Steps = Mapping[str, Mapping[str, Any]]


def image_bytes_endpoint(plain: keras.Model, names: Sequence[str], before: Steps) -> Any:
    """All tasks from encoded images: decoded, resized and scaled in the graph.

    Args:
        plain: The inference graph.
        names: The inputs that come as encoded images, string [B]; the others come as they are.
        before: `{input: {"image", "scale", "offset"}}`, as the manifest has it.

    Raises:
        ValueError: A name is no input, or an input takes no images.
    """
    inputs = {tensor.name: tensor for tensor in plain.inputs}
    unknown = [name for name in names if name not in inputs]
    if unknown or not names:
        raise ValueError(message(f"inputs among {list(inputs)}", "correct the names", image_bytes=list(names)))
    decoders = {name: _decoder(inputs[name], before.get(name, {})) for name in names}
    specs = [
        tf.TensorSpec((None,), tf.string, name=name)
        if name in decoders
        else tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=name)
        for name, tensor in inputs.items()
    ]

    @tf.function(input_signature=specs)
    def run(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        by_name = dict(zip(inputs, given, strict=True))
        for name, decoder in decoders.items():
            pixels = tf.map_fn(decoder.upright, by_name[name], fn_output_signature=tf.uint8)
            by_name[name] = _scaled(pixels, inputs[name].dtype, before.get(name, {}))
        structure = keras.tree.map_structure(lambda tensor: by_name[tensor.name], plain.input)
        return plain(structure, training=False)

    return run


def check_image_bytes(path: Path, plain: keras.Model, names: Sequence[str], before: Steps, tolerance: float) -> None:
    """Run the signature on random images of the model's own size, and compare it with the model.

    Raises:
        ValueError: An output differs by more than the tolerance.
    """
    shapes = {t.name: (2, *[8 if side is None else side for side in t.shape[1:]]) for t in plain.inputs}
    formats = {t.name: _decoder(t, before.get(t.name, {})).format for t in plain.inputs if t.name in names}
    arrays = random_arrays({t.name: (shapes[t.name], str(t.dtype)) for t in plain.inputs if t.name not in names})
    arrays |= random_arrays({name: ((2, *made.shape), "uint8") for name, made in formats.items()})
    sent = {
        name: tf.constant([tf.io.encode_png(image).numpy() for image in value] if name in names else value)
        for name, value in arrays.items()
    }
    read = {
        t.name: np.asarray(_scaled(arrays[t.name], t.dtype, before.get(t.name, {})))
        if t.name in names
        else arrays[t.name]
        for t in plain.inputs
    }
    found = tf.saved_model.load(str(path)).signatures[IMAGE_BYTES](**sent)
    for task, expected in keras_outputs(plain, read).items():
        error = output_error(found[task].numpy(), expected)
        if not error <= tolerance:
            raise ValueError(
                message(
                    f"outputs within {tolerance:g} of the Keras model's",
                    "leave image_bytes out, and report this model",
                    task=task,
                    error=error,
                    signature=IMAGE_BYTES,
                )
            )


def _decoder(tensor: Any, steps: Mapping[str, Any]) -> ImageDecoder:
    sides = [-1 if side is None else side for side in tensor.shape]
    return ImageDecoder(image_format(tensor.name, sides, steps))


def _scaled(pixels: Any, dtype: str, steps: Mapping[str, Any]) -> tf.Tensor:
    values = tf.cast(pixels, dtype)
    if "scale" in steps or "offset" in steps:
        values = values * steps.get("scale", 1.0) + steps.get("offset", 0.0)
    return values
