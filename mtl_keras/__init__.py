"""mtl_keras: multi-task learning for Keras 3. One trunk, many named outputs, one `model.fit`.

Names are imported when they are first used, so that a machine that only runs a .tflite file needs neither TensorFlow
nor Keras. Where Keras is there already, the classes are imported at once: saved models find them then.
"""

import importlib
import sys
from typing import Any

__version__ = "0.1.0"

_OBJECTS = {
    "Task": "mtl_keras.tasks",
    "MultiTaskModel": "mtl_keras.models",
    "build": "mtl_keras.models",
    "load_task": "mtl_keras.models",
    "load_trunk": "mtl_keras.models",
}
_NAMESPACES = (
    "analysis",
    "callbacks",
    "data",
    "distribute",
    "export",
    "heads",
    "models",
    "optimizers",
    "sharing",
    "trunks",
    "weightings",
)

__all__ = ["MultiTaskModel", "Task", "build", "load_task", "load_trunk", *_NAMESPACES]


def __getattr__(name: str) -> Any:
    if name in _OBJECTS:
        return getattr(importlib.import_module(_OBJECTS[name]), name)
    if name in _NAMESPACES:
        return importlib.import_module(f"mtl_keras.{name}")
    raise AttributeError(f"module 'mtl_keras' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


if "keras" in sys.modules:
    from mtl_keras import models  # noqa: F401  registers every class that a saved model can hold
