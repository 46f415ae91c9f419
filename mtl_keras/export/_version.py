"""A version folder: the model in every format, compared and described, there whole or not at all."""

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mtl_keras.export._atomic import appearing, next_version
from mtl_keras.export._litert import litert
from mtl_keras.export._manifest import Manifest
from mtl_keras.export._parity import TOLERANCE
from mtl_keras.export._saved_model import saved_model


def write_version(
    model: keras.Model,
    folder: str | PathLike[str],
    before: Mapping[str, Any] | None = None,
    inputs: dict[str, np.ndarray] | None = None,
    metrics: Mapping[str, float] | None = None,
    tolerance: float = TOLERANCE,
    extras: Callable[[Path, Manifest], None] | None = None,
) -> Path:
    """Export a model as `<folder>/<next version>/` and compare every artefact with it.

    The folder gets `model.keras`, `saved_model/`, `model.tflite` and `manifest.json`.

    Args:
        model: A functional model with dict outputs.
        folder: Where the versions are.
        before: What a caller does to the inputs, for the manifest, e.g. `{"scale": 1 / 255}`.
        inputs: `{input name: batch}` to compare on; random ones by default.
        metrics: Test metrics for the manifest.
        tolerance: Largest error allowed between artefact and model, default 1e-5.
        extras: Called with the unfinished folder and the manifest, to add files (figures, a report).

    Returns:
        The new folder.

    Raises:
        ValueError: An artefact differs by more than the tolerance; no folder is left then.
    """
    target = next_version(folder)
    with appearing(target) as unfinished:
        unfinished.mkdir()
        model.save(unfinished / "model.keras")
        manifest = Manifest.of(model, before)
        manifest.metrics = {name: float(value) for name, value in (metrics or {}).items()}
        manifest.parity = {
            "saved_model": saved_model(model, unfinished / "saved_model", inputs, tolerance),
            "model.tflite": litert(model, unfinished / "model.tflite", inputs=inputs, tolerance=tolerance),
        }
        if extras is not None:
            extras(unfinished, manifest)
        for path in sorted(unfinished.iterdir()):
            manifest.add_file(path)
        manifest.write(unfinished)
    return target
