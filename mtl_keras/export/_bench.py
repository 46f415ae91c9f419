"""Artefacts timed side by side, by file, signature and number of threads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._examples import random_arrays
from mtl_keras.export._find import artefacts, manifest_of
from mtl_keras.export._runtimes import ALL_TASKS, SERVING, LiteRTRuntime, Runtime, open_runtime
from mtl_keras.export._timing import median_and_p95, time_side_by_side


@dataclass(frozen=True)
class Timing:
    """How long one signature of one artefact takes for one batch.

    Attributes:
        file: The artefact's path.
        signature: The signature.
        threads: Threads of the LiteRT interpreter; None for what TensorFlow runs, which shares its threads.
        median: Milliseconds, the median over all rounds.
        p95: Milliseconds that 95 of 100 rounds do not exceed.
        rounds: Timed rounds.
        batch: Examples in a batch.
        bytes: Size of the file, or of all files of a folder.
    """

    file: str
    signature: str
    threads: int | None
    median: float
    p95: float
    rounds: int
    batch: int
    bytes: int


def bench(
    paths: Sequence[str | PathLike[str]],
    threads: Sequence[int] = (1,),
    signatures: Sequence[str] | None = None,
    rounds: int = 50,
    batch_size: int = 1,
    shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> list[Timing]:
    """Time artefacts against each other: one process, warmed up, one call of each in every round.

    A call takes NumPy arrays and gives NumPy arrays by name; copying them is part of the time.

    Args:
        paths: .tflite files, SavedModel folders, .keras files, or version folders (all artefacts in them).
        threads: Numbers of threads, each at least 1, default only 1. They are LiteRT's; TensorFlow uses its own.
        signatures: The signatures to time, default all; every file must have at least one of them.
        rounds: Timed rounds, at least 1, default 50, after 5 to warm up.
        batch_size: Examples in a call where the file leaves that free, default 1.
        shapes: `{input: shape without the batch axis}` for inputs that have free sides in file and manifest.
        seed: Of the random inputs and of the order of the calls, default 0.

    Returns:
        A `Timing` for every file, signature and number of threads, in the order given.

    Raises:
        ValueError: A file does not load, lacks the signatures, or has inputs of unknown shape.

    Example:
        >>> import tempfile, keras, mtl_keras as mtl
        >>> x = keras.Input((4,), name="x")
        >>> model = keras.Model(x, {"a": keras.layers.Dense(2)(x), "b": keras.layers.Dense(1)(x)})
        >>> path = tempfile.mkdtemp() + "/model.tflite"
        >>> errors = mtl.export.litert(model, path)
        >>> [timing.signature for timing in bench([path], rounds=3)]
        ['all_tasks', 'task_a', 'task_b']
    """
    if not threads or any(isinstance(n, bool) or n != int(n) or n < 1 for n in threads):
        raise ValueError(message("numbers of threads of at least 1", "pass threads=[1]", threads=list(threads)))
    if batch_size < 1:
        raise ValueError(message("a batch size of at least 1", "pass batch_size=1", batch_size=batch_size))
    calls: dict[tuple[str, str, int | None], Callable[[], Any]] = {}
    batches: dict[tuple[str, str, int | None], int] = {}
    sizes: dict[str, int] = {}
    for path in [artefact for given in paths for artefact in artefacts(Path(given))]:
        sizes[fspath(path)] = _bytes(path)
        for count, runtime in _runtimes(path, threads):
            for signature in _chosen(runtime, signatures, path):
                inputs = _random_inputs(path, runtime, signature, batch_size, shapes or {}, seed)
                key = fspath(path), signature, count
                calls[key] = partial(runtime.run, signature, inputs)
                batches[key] = len(next(iter(inputs.values())))
    if not calls:
        raise ValueError(message("at least one file", "name .tflite files or version folders", paths=list(paths)))
    times = time_side_by_side(calls, rounds, seed=seed)
    return [
        Timing(file, signature, count, *median_and_p95(seen), rounds, batches[file, signature, count], sizes[file])
        for (file, signature, count), seen in times.items()
    ]


def _runtimes(path: Path, threads: Sequence[int]) -> list[tuple[int | None, Runtime]]:
    """The artefact opened once for each number of threads that makes a difference to it."""
    first = open_runtime(path, threads[0])
    if not isinstance(first, LiteRTRuntime):
        return [(None, first)]
    return [(threads[0], first), *[(count, open_runtime(path, count)) for count in threads[1:]]]


def _chosen(runtime: Runtime, wanted: Sequence[str] | None, path: Path) -> list[str]:
    there = list(runtime.signatures())
    if wanted is None:
        # serving_default is all_tasks under another name
        others = [name for name in there if name != ALL_TASKS and (name != SERVING or ALL_TASKS not in there)]
        return [name for name in there if name == ALL_TASKS] + sorted(others)
    found = [name for name in wanted if name in there]
    if not found:
        raise ValueError(
            message(f"a signature among {there}", "correct it", signatures=list(wanted), file=fspath(path))
        )
    return found


def _random_inputs(
    path: Path, runtime: Runtime, signature: str, batch_size: int, shapes: Mapping[str, Sequence[int]], seed: int
) -> dict[str, np.ndarray]:
    manifest = manifest_of(path)
    described = {} if manifest is None else manifest.inputs
    wanted = {}
    for name, (sides, dtype) in runtime.inputs(signature).items():
        free = [-1] * (len(sides) - 1)
        others = [shapes.get(name, free), described.get(name, {}).get("shape", free)]
        shape = [batch_size if sides[0] == -1 else sides[0]]
        for index, side in enumerate(sides[1:]):
            known = [side, *[other[index] for other in others if len(other) == len(free)]]
            shape.append(next((n for n in known if n != -1), -1))
        if -1 in shape:
            raise ValueError(
                message(
                    f"the sides of input {name!r}, which the file leaves free",
                    f"pass shapes={{{name!r}: [...]}}, --shape {name}=... on the command line",
                    shape=shape[1:],
                    file=fspath(path),
                )
            )
        wanted[name] = (shape, dtype)
    return random_arrays(wanted, seed)


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
