"""What one shared model saves against one model per task: parameters, file size, latency."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import keras

from mtl_keras.export._inference_graph import inference_graph, task_graph
from mtl_keras.export._litert import litert
from mtl_keras.export._parity import example_inputs
from mtl_keras.export._runtimes import open_runtime


@dataclass(frozen=True)
class Footprint:
    """Size and speed of a model, or of several run one after another.

    Attributes:
        parameters: Number of parameters.
        bytes: Size of the .tflite file or files.
        milliseconds: Median time for one example.
    """

    parameters: int
    bytes: int
    milliseconds: float


def compare_with_single_tasks(model: keras.Model, rounds: int = 50, threads: int = 1) -> tuple[Footprint, Footprint]:
    """Export and time the shared model and, for each task, a model of its own with the same trunk and head.

    The single-task models have new, untrained weights: those serve for size and speed as well as trained ones.

    Args:
        model: A functional model with dict outputs.
        rounds: Timed rounds; in each, every file runs once, after 5 rounds to warm up. Default 50.
        threads: Threads of the interpreter, default 1.

    Returns:
        Footprint of the shared model, and of the single-task models together.
    """
    plain = inference_graph(model)
    singles = [_untrained(task_graph(plain, task)) for task in plain.output]
    inputs = example_inputs(plain, batch_size=1)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, graph in enumerate([plain, *singles]):
            paths.append(Path(folder) / f"{number}.tflite")
            litert(graph, paths[-1])
        runs = [_runner(path, inputs, threads) for path in paths]
        times: list[list[float]] = [[] for _ in runs]
        for turn in range(rounds + 5):
            for run, seen in zip(runs, times, strict=True):
                began = time.perf_counter()
                run()
                if turn >= 5:
                    seen.append(1e3 * (time.perf_counter() - began))
        sizes = [path.stat().st_size for path in paths]
    medians = [median(seen) for seen in times]
    counts = [graph.count_params() for graph in (plain, *singles)]
    return Footprint(counts[0], sizes[0], medians[0]), Footprint(sum(counts[1:]), sum(sizes[1:]), sum(medians[1:]))


def _untrained(graph: keras.Model) -> keras.Model:
    return keras.models.clone_model(graph)


def _runner(path: Path, inputs: dict[str, Any], threads: int) -> Callable[[], Any]:
    runtime = open_runtime(path, threads)
    return lambda: runtime.run("all_tasks", inputs)
