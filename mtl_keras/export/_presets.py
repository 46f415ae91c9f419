"""The ways to store a model's numbers in a .tflite file: one row each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.export._parity import TOLERANCE


@dataclass(frozen=True)
class Preset:
    """One way to store weights and compute.

    Attributes:
        name: What `litert(quantization=...)` takes.
        weights: How weights are stored, for people.
        computes: What the layers compute in, for people.
        configure: Sets up a `tf.lite.TFLiteConverter`.
        tolerance: Largest error that counts as "the same model": rounding, half a float16 step, or for 8 bits what only
            a broken file exceeds. How much a task loses is what `quantize` measures.
        calibrated: Whether the ranges of activations come from examples.
        integer_ends: Whether inputs and outputs are integers as well.
        recipe: Name of the recipe of ai-edge-quantizer that stores the weights of the float file, if one does.
    """

    name: str
    weights: str
    computes: str
    configure: Callable[[Any], None]
    tolerance: float
    calibrated: bool = False
    integer_ends: bool = False
    recipe: str | None = None


def _plain(converter: Any) -> None:
    pass


def _float16(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _eight_bits(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _int8_full(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8


def _int16x8(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,  # what has no 16-bit form stays in float
    ]


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("float32", "float32", "float32", _plain, TOLERANCE),
        Preset("float16", "float16", "float32", _float16, 5e-3),
        Preset("dynamic", "8 bits", "8 bits and float32", _eight_bits, 1e-1),
        Preset("int8", "8 bits", "8 bits", _eight_bits, 0.5, calibrated=True),
        Preset("int8_full", "8 bits", "8 bits", _int8_full, 0.5, calibrated=True, integer_ends=True),
        Preset("int16x8", "8 bits", "16 bits", _int16x8, 1e-1, calibrated=True),
        Preset("weight_only_wi8", "8 bits", "float32", _plain, 1e-1, recipe="weight_only_wi8_afp32"),
        Preset("weight_only_wi4", "4 bits", "float32", _plain, 0.5, recipe="weight_only_wi4_afp32"),
        Preset("dynamic_wi8", "8 bits", "8 bits and float32", _plain, 1e-1, recipe="dynamic_wi8_afp32"),
        Preset("dynamic_wi4", "4 bits", "8 bits and float32", _plain, 0.5, recipe="dynamic_wi4_afp32"),
    )
}


def preset(name: str | None) -> Preset:
    """The preset of that name; None is `"float32"`.

    Raises:
        ValueError: There is none.
    """
    if (name or "float32") not in PRESETS:
        raise ValueError(message(f"a quantization among {list(PRESETS)}", "choose one", quantization=name))
    return PRESETS[name or "float32"]
