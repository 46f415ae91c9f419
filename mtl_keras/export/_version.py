"""A version folder: the model in every format, compared and described, there whole or not at all."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import keras

from mtl_keras.export._atomic import become_next_version, workplace
from mtl_keras.export._litert import litert
from mtl_keras.export._manifest import Manifest
from mtl_keras.export._parity import TOLERANCE, parity
from mtl_keras.export._saved_model import saved_model


def write_version(
    model: keras.Model,
    folder: str | PathLike[str],
    before: Mapping[str, Any] | None = None,
    inputs: Any = None,
    metrics: Mapping[str, float] | None = None,
    tolerance: float = TOLERANCE,
    extras: Callable[[Path, Manifest], None] | None = None,
    image_bytes: Sequence[str] = (),
    run: str | None = None,
) -> Path:
    """Export a model as `<folder>/<next version>/` and compare every artefact with it.

    The folder gets `model.keras`, `saved_model/`, `model.tflite` and `manifest.json`, and appears when all of it is
    there. Several processes may write to the same `folder`: each gets a version of its own.

    Args:
        model: A functional model with dict outputs.
        folder: Where the versions are.
        before: What a caller does to the inputs, for the manifest and `Predictor`, e.g. `{"scale": 1 / 255}`; see
            `Manifest.of`.
        inputs: What to compare on: `{input name: batch}`, or a batch for a model with one input; default 4 random
            examples.
        metrics: Test metrics for the manifest.
        tolerance: Largest error allowed between artefact and model, default 1e-5, see `parity`.
        image_bytes: Inputs that the SavedModel's signature `image_bytes` takes as encoded images, see `saved_model`.
        extras: Called with the unfinished folder and the manifest, to add files (figures, a report).
        run: What names the training run in the manifest, default none.

    Returns:
        The new folder; `Manifest.read(folder).parity` has the errors per artefact and task.

    Raises:
        ValueError: An artefact differs by more than the tolerance, or does not load. No folder is left then.

    Example:
        >>> import tempfile, keras
        >>> x = keras.Input((4,), name="x")
        >>> model = keras.Model(x, {"a": keras.layers.Dense(2)(x)})
        >>> folder = write_version(model, tempfile.mkdtemp())
        >>> folder.name, sorted(Manifest.read(folder).parity)
        ('1', ['model.keras', 'model.tflite', 'saved_model'])
    """
    manifest = Manifest.of(model, before, metrics)
    manifest.run = run
    with workplace(Path(folder)) as place:
        unfinished = place / "version"
        unfinished.mkdir()
        model.save(unfinished / "model.keras")
        manifest.parity = {
            "model.keras": parity(model, unfinished / "model.keras", inputs, tolerance),
            "saved_model": saved_model(model, unfinished / "saved_model", inputs, tolerance, image_bytes, before),
            "model.tflite": litert(
                model, unfinished / "model.tflite", inputs=inputs, tolerance=tolerance, before=before
            ),
        }
        if extras is not None:
            extras(unfinished, manifest)
        manifest.add_files(unfinished)
        manifest.write(unfinished)
        return become_next_version(unfinished, Path(folder))
