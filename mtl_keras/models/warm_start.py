"""Weights of a trunk or of one task from another model, matched by variable path.

Keras' own `load_weights` matches by class name and position: with one head more or less it loads a wrong one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import keras

from mtl_keras.errors import message
from mtl_keras.models.partition import Partition, partition


@dataclass(frozen=True)
class LoadReport:
    """What became of each variable asked for, by path.

    Attributes:
        loaded: Taken from the source.
        missing: Not in the source; left as they were.
        reshaped: In the source with another shape, as `{path: (shape here, shape there)}`; left as they were.
        remembered: Of the loaded ones those whose memory of the optimizer came along.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    remembered: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"loaded {len(self.loaded)}, missing {len(self.missing)}, of another shape {len(self.reshaped)}"]
        lines += [f"  missing: {path}" for path in self.missing]
        lines += [f"  shape {here} here, {there} in the file: {path}" for path, (here, there) in self.reshaped.items()]
        return "\n".join(lines)


def load_trunk(model: Any, source: Any) -> LoadReport:
    """Load all variables that the tasks share, trained or not, from a file or model.

    Args:
        model: The model to load into: a MultiTaskModel, or any functional model with dict outputs.
        source: A `.keras` file, or a Keras model.

    Returns:
        What was loaded, what was missing and what had another shape.

    Raises:
        ValueError: The file is no `.keras` file, or not one variable could be loaded.

    Example:
        >>> import keras, mtl_keras as mtl
        >>> def make(*names):
        ...     tasks = [mtl.Task(name, mtl.heads.Classifier(3)) for name in names]
        ...     return mtl.build(keras.Input((8, 8, 1)), mtl.sharing.Hard(mtl.trunks.Conv((4,))), tasks)
        >>> report = mtl.load_trunk(make("a", "b", "c"), make("b", "d"))
        >>> report.missing, report.reshaped
        ([], {})
    """
    return _load((v for layer in _parts(model).shared_layers for v in layer.variables), source)


def load_task(model: Any, source: Any, task: str) -> LoadReport:
    """Load all variables of one task's head from a file or model; arguments and errors as for `load_trunk`."""
    layers = _parts(model).task_layers
    if task not in layers:
        raise ValueError(message(f"a task among {list(layers)}", "correct the name", task=task))
    return _load((v for layer in layers[task] for v in layer.variables), source)


def load_everything(model: Any, source: Any, compiled: bool) -> tuple[LoadReport, keras.Model]:
    """Load the weights of all layers; also returns the source, with its optimizer if `compiled`."""
    opened = _open(source, compiled)
    return _load((v for layer in model.layers for v in layer.weights), opened), opened


def _parts(model: Any) -> Partition:
    return model.partition if hasattr(model, "partition") else partition(model)


def _load(variables: Iterable[keras.Variable], source: Any) -> LoadReport:
    there = {v.path: v for v in _open(source).variables}
    report = LoadReport()
    for variable in variables:
        other = there.get(variable.path)
        if other is None:
            report.missing.append(variable.path)
        elif tuple(other.shape) != tuple(variable.shape):
            report.reshaped[variable.path] = (tuple(variable.shape), tuple(other.shape))
        else:
            variable.assign(keras.ops.convert_to_numpy(other))
            report.loaded.append(variable.path)
    if not report.loaded and report.reshaped:
        path, (here, source_shape) = next(iter(report.reshaped.items()))
        raise ValueError(
            message(
                "at least one variable of the same shape in the source",
                "build the layers as they are there, or start these anew",
                variable=path,
                shape=here,
                in_source=source_shape,
            )
        )
    if not report.loaded and report.missing:
        raise ValueError(
            message(
                "at least one variable with the same path and shape in the source",
                "give the layers of both models the same names",
                wanted=report.missing[0],
                in_source=sorted(there)[:5],
            )
        )
    return report


def _open(source: Any, compiled: bool = False) -> keras.Model:
    if isinstance(source, keras.Model):
        return source
    if not isinstance(source, (str, PathLike)) or not fspath(source).endswith(".keras"):
        raise ValueError(
            message(
                "a .keras file or a Keras model (.weights.h5 files hold positions, not names)",
                "save the source with model.save('name.keras')",
                source=source,
            )
        )
    if not Path(source).is_file():
        raise ValueError(message("a file that exists", "check the path", source=fspath(source)))
    if not is_zipfile(source):
        raise ValueError(message("a .keras file that is whole", "save or copy it again", source=fspath(source)))
    return keras.models.load_model(source, compile=compiled)
