"""Models to files that run anywhere, each compared with the Keras model before it gets its name.

Names are imported when they are first used: running a .tflite file needs neither TensorFlow nor Keras.
"""

import importlib
from typing import Any

_NAMES = {
    "ArrayResult": "results",
    "ClassResult": "results",
    "Footprint": "footprint",
    "LabelsResult": "results",
    "Manifest": "manifest",
    "Predictor": "predictor",
    "PresetResult": "gate_report",
    "QuantizationReport": "gate_report",
    "Timing": "bench",
    "ValueResult": "results",
    "as_plain": "results",
    "bench": "bench",
    "calibration_examples": "calibration",
    "compare_with_single_tasks": "footprint",
    "demo_page": "demo_page",
    "inference_graph": "inference_graph",
    "litert": "litert",
    "next_version": "atomic",
    "onnx": "onnx",
    "parity": "parity",
    "quantization_aware": "quantization_aware",
    "quantize": "gate",
    "read_metadata": "metadata",
    "saved_model": "saved_model",
    "write_version": "version",
}

__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        # modules begin with "_": importing one called as its function would hide the function
        found = getattr(importlib.import_module(f"mtl_keras.export._{_NAMES[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'mtl_keras.export' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
