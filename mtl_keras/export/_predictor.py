"""Predictor: answers by task name from any artefact. For .tflite files it imports NumPy and ai-edge-litert only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._manifest import NAME, Manifest
from mtl_keras.export._runtimes import open_runtime


@dataclass(frozen=True)
class ClassResult:
    """The most probable class: its label and probability, and the `top` few as (label, probability)."""

    label: str
    score: float
    top: list[tuple[str, float]]


@dataclass(frozen=True)
class LabelsResult:
    """The labels at or above their threshold, and every label's probability."""

    labels: list[str]
    scores: dict[str, float]


@dataclass(frozen=True)
class ValueResult:
    """Values in the user's units: one number, or a list where the task has several."""

    value: float | list[float]
    unit: str | list[str]


@dataclass(frozen=True)
class ArrayResult:
    """An output that nothing is known of."""

    values: np.ndarray


class Predictor:
    """Run an exported model on arrays and get named answers.

    Args:
        path: A version folder (its .tflite file is used, or else its SavedModel), a .tflite file, or a SavedModel
            folder. A `manifest.json` in or beside it tells what the outputs mean.
        tasks: One task, to compute only that; default all.
        top: How many classes `ClassResult.top` lists, default 3.
        threads: Threads of the LiteRT interpreter, default its own choice.

    Raises:
        ValueError: A file is missing or damaged, or the task is unknown.

    The recorded preprocessing is repeated: where the manifest says `{"before": {"scale": s}}`, whole-number pixels are
    multiplied by `s`; float inputs are taken as they are.

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

    def __init__(self, path: str | PathLike[str], tasks: str | None = None, top: int = 3, threads: int | None = None):
        artefact, manifest = _find(Path(path))
        self.path = artefact
        self.manifest = manifest
        self.top = top
        self._runtime = open_runtime(artefact, threads)
        signatures = self._runtime.signatures()
        whole = "all_tasks" if "all_tasks" in signatures else next(iter(signatures))
        self.signature = whole if tasks is None else f"task_{tasks}"
        if self.signature not in signatures:
            raise ValueError(message(f"a task among {signatures[whole]}", "correct the name", tasks=tasks))
        described = {} if manifest is None else manifest.tasks
        self.tasks = [name for name in described if name in signatures[self.signature]]
        self.tasks += [name for name in signatures[self.signature] if name not in self.tasks]

    def outputs(self, inputs: Any) -> dict[str, np.ndarray]:
        """Raw outputs [B, ...] by task of a batch (or of one example, as a batch of 1)."""
        return self._run(self._batch(inputs)[0])

    def predict(self, inputs: Any) -> Any:
        """Named answers.

        Args:
            inputs: One example, or a batch: an array for models with one input, else `{input name: array}`.

        Returns:
            `{task: result}` for one example, a list of those for a batch. Results are `ClassResult` (classes, ordered
            or not), `LabelsResult` (several labels), `ValueResult` (numbers), or `ArrayResult`.

        Raises:
            ValueError: An input has another name or shape, or is not finite.
        """
        batch, single = self._batch(inputs)
        outputs = self._run(batch)
        size = len(next(iter(batch.values())))
        rows = [{task: self._result(task, outputs[task][i]) for task in self.tasks} for i in range(size)]
        return rows[0] if single else rows

    def _run(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = self._runtime.run(self.signature, batch)
        return {task: outputs[task] for task in self.tasks}

    def _batch(self, inputs: Any) -> tuple[dict[str, np.ndarray], bool]:
        wanted = self._runtime.inputs()
        if not isinstance(inputs, Mapping):
            if len(wanted) > 1:
                raise ValueError(
                    message(f"inputs by name {list(wanted)}", "pass {name: array}", inputs=type(inputs).__name__)
                )
            inputs = {next(iter(wanted)): inputs}
        if set(inputs) != set(wanted):
            raise ValueError(message(f"the inputs {list(wanted)}", "correct the names", inputs=list(inputs)))
        batch, singles = {}, set()
        for name, (shape, dtype) in wanted.items():
            value = np.asarray(inputs[name])
            singles.add(value.ndim == len(shape) - 1)
            value = value[None] if value.ndim == len(shape) - 1 else value
            fits = value.ndim == len(shape) and all(
                w in (-1, s) for w, s in zip(shape[1:], value.shape[1:], strict=True)
            )
            if not fits or not len(value):
                raise ValueError(
                    message(
                        f"input {name!r} of shape {shape[1:]}, or a batch of those",
                        "resize or reshape it",
                        shape=np.shape(inputs[name]),
                    )
                )
            batch[name] = self._prepared(name, value, dtype)
        return batch, singles == {True}

    def _prepared(self, name: str, value: np.ndarray, dtype: str) -> np.ndarray:
        before = {} if self.manifest is None else self.manifest.preprocessing.get("before", {})
        if "scale" in before and value.dtype.kind in "iu" and dtype.startswith("float"):
            value = value * np.float32(before["scale"])
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(message(f"a finite input {name!r}", "correct it", values="NaN or infinite"))
        return value.astype(dtype)

    def _result(self, task: str, values: np.ndarray) -> Any:
        about = {} if self.manifest is None else self.manifest.tasks.get(task, {})
        kind = about.get("kind")
        if kind in ("classification", "ordinal"):
            order = np.argsort(-values, kind="stable")[: self.top]
            top = [(about["labels"][i], float(values[i])) for i in order]
            return ClassResult(*top[0], top)
        if kind == "multilabel":
            scores = {label: float(score) for label, score in zip(about["labels"], values, strict=True)}
            chosen = [label for label, limit in zip(scores, about["thresholds"], strict=True) if scores[label] >= limit]
            return LabelsResult(chosen, scores)
        if kind == "regression":
            units: Sequence[str] = about["units"]
            numbers = [float(value) for value in np.ravel(values)]
            return ValueResult(numbers[0], units[0]) if len(numbers) == 1 else ValueResult(numbers, list(units))
        return ArrayResult(values)


def _find(path: Path) -> tuple[Path, Manifest | None]:
    """The artefact to run and the manifest that belongs to it."""
    if not path.exists():
        raise ValueError(message("a folder or file that exists", "check the path", path=fspath(path)))
    if path.name == NAME:
        path = path.parent
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        files = [*sorted(path.glob("*.tflite")), path / "saved_model"]
        artefact = next((file for file in files if file.exists()), None)
        if artefact is None:
            raise ValueError(message("a .tflite file or a saved_model folder in it", "export again", path=fspath(path)))
        return artefact, Manifest.read(path) if (path / NAME).is_file() else None
    beside = path.parent
    return path, Manifest.read(beside) if (beside / NAME).is_file() else None
