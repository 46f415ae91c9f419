"""Predictor: answers by task name from any artefact.

For .tflite files it imports NumPy and ai-edge-litert only, and Pillow where it is given image files.
"""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._find import artefacts, manifest_of
from mtl_keras.export._image_inputs import as_array
from mtl_keras.export._results import read_output
from mtl_keras.export._runtimes import ALL_TASKS, SERVING, open_runtime


class Predictor:
    """Run an exported model on image files or arrays and get named answers.

    Args:
        path: A version folder or its manifest.json (`model.tflite` is used, or else another .tflite file, the
            SavedModel, a .keras file), or one of those. The manifest in or beside it tells what the outputs mean, if it
            lists the file (which must be as it was exported then), or else the one inside a .tflite file.
        task: One task, to compute only that; default all.
        top: How many classes `ClassResult.top` lists, at least 1, default 3.
        threads: Threads of the LiteRT interpreter, default its own choice.

    Raises:
        ValueError: A file is missing, damaged or changed, or the task is unknown.

    The recorded preprocessing is repeated. Image files come out as a person sees them, in the recorded size, resize
    mode and channels (where nothing is recorded: the input's own, scaled to fit); so do uint8 pixels of any size where
    they are recorded. Where the manifest says `{"scale": s, "offset": o}` of an input, whole numbers become
    `x * s + o`; floats are taken as they are.

    Example:
        >>> import tempfile, keras, numpy as np
        >>> import mtl_keras as mtl
        >>> tasks = [mtl.Task("colour", mtl.heads.Classifier(labels=["red", "green", "blue"]))]
        >>> model = mtl.build(keras.Input((8, 8, 3), name="image"), mtl.sharing.Hard(mtl.trunks.Conv((4,))), tasks)
        >>> folder = mtl.export.write_version(model, tempfile.mkdtemp() + "/shop", before={"scale": 1 / 255})
        >>> answer = mtl.export.Predictor(folder).predict(np.zeros((8, 8, 3), np.uint8))
        >>> answer["colour"].label in ("red", "green", "blue")
        True
    """

    def __init__(self, path: str | PathLike[str], task: str | None = None, top: int = 3, threads: int | None = None):
        if top < 1:
            raise ValueError(message("top of at least 1", "pass top=3", top=top))
        self.path = artefacts(Path(path))[0]
        self.manifest = manifest_of(self.path)
        self.top = top
        self._runtime = open_runtime(self.path, threads)
        signatures = self._runtime.signatures()
        whole = next((name for name in (ALL_TASKS, SERVING) if name in signatures), next(iter(signatures)))
        self.signature = whole if task is None else f"task_{task}"
        if self.signature not in signatures:
            raise ValueError(message(f"a task among {signatures[whole]}", "correct the name", task=task))
        described = {} if self.manifest is None else self.manifest.tasks
        # runtimes list outputs in an order of their own
        order = [*described, *signatures[self.signature]]
        self.tasks = sorted(signatures[self.signature], key=order.index)

    def predict(self, inputs: Any) -> Any:
        """Named answers.

        Args:
            inputs: One example or a batch, for models with one input by itself, else as `{input name: ...}`. An example
                is an image file (a path, or the bytes of a file) or an array; a batch is a list of files or images, or
                one array.

        Returns:
            `{task: result}` for one example, a list of those for a batch. A result has, by kind of task: `label`,
            `score`, `top`, `probabilities` (classes, ordered or not); `labels`, `scores` (several labels); `value`,
            `unit` (numbers); `values` (anything else).

        Raises:
            ValueError: An input has another name or shape, is no number or not finite, or a file is no image.
        """
        batch, single = self._batch(inputs)
        outputs = self._run(batch)
        size = len(next(iter(batch.values())))
        about = {} if self.manifest is None else self.manifest.tasks
        rows = [
            {task: read_output(about.get(task, {}), outputs[task][i], self.top) for task in self.tasks}
            for i in range(size)
        ]
        return rows[0] if single else rows

    def outputs(self, inputs: Any) -> dict[str, np.ndarray]:
        """Raw outputs [B, ...] by task, of a batch or of one example as a batch of 1."""
        return self._run(self._batch(inputs)[0])

    def _run(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = self._runtime.run(self.signature, batch)
        return {task: outputs[task] for task in self.tasks}

    def _batch(self, inputs: Any) -> tuple[dict[str, np.ndarray], bool]:
        """The inputs by name as the runtime wants them, and whether they were one example."""
        wanted = self._runtime.inputs(self.signature)
        if not isinstance(inputs, Mapping) and len(wanted) == 1:
            inputs = {next(iter(wanted)): inputs}
        if not isinstance(inputs, Mapping) or set(inputs) != set(wanted):
            given = list(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
            raise ValueError(message(f"inputs by name {sorted(wanted)}", "pass {name: array}", inputs=given))
        values = {
            name: _numbers(name, as_array(name, inputs[name], shape, self._before(name)))
            for name, (shape, _) in wanted.items()
        }
        single = all(value.ndim == len(wanted[name][0]) - 1 for name, value in values.items())
        batch = {name: value[None] if single else value for name, value in values.items()}
        for name, (shape, _) in wanted.items():
            sizes = batch[name].shape
            if len(sizes) != len(shape) or any(w not in (-1, s) for w, s in zip(shape[1:], sizes[1:], strict=True)):
                raise ValueError(
                    message(
                        f"input {name!r} of shape {shape[1:]}, or a batch of those",
                        "resize or reshape it",
                        shape=values[name].shape,
                    )
                )
        lengths = {name: len(value) for name, value in batch.items()}
        if len(set(lengths.values())) > 1 or not all(lengths.values()):
            raise ValueError(
                message("at least one example, as many in every input", "pass equal batches", examples=lengths)
            )
        return {name: self._prepared(name, value, wanted[name][1]) for name, value in batch.items()}, single

    def _before(self, name: str) -> Mapping[str, Any]:
        """The recorded preprocessing of an input."""
        return {} if self.manifest is None else self.manifest.preprocessing.get("before", {}).get(name, {})

    def _prepared(self, name: str, value: np.ndarray, dtype: str) -> np.ndarray:
        steps = self._before(name)
        if value.dtype.kind in "iu" and dtype.startswith("float") and ("scale" in steps or "offset" in steps):
            value = value * np.float32(steps.get("scale", 1.0)) + np.float32(steps.get("offset", 0.0))
        with np.errstate(over="ignore", invalid="ignore"):
            cast = value.astype(dtype)
        if dtype.startswith("float") and not np.isfinite(cast).all():
            raise ValueError(message(f"a finite input {name!r}", "correct it", values="NaN or infinite"))
        if not dtype.startswith("float") and not np.array_equal(cast, value):
            raise ValueError(
                message(f"input {name!r} in whole numbers of {dtype}", "convert it", dtype=str(value.dtype))
            )
        return cast


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise ValueError(message(f"input {name!r} as an array of numbers", "convert it", type=type(value).__name__))
    return array
