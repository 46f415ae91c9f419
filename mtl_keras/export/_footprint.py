"""What one shared model saves against one model per task: parameters, file size, latency."""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import keras

from mtl_keras.export._inference_graph import inference_graph, task_graph
from mtl_keras.export._litert import litert
from mtl_keras.export._parity import example_inputs
from mtl_keras.export._runtimes import ALL_TASKS, open_runtime
from mtl_keras.export._timing import check_rounds, time_side_by_side


@dataclass(frozen=True)
class Footprint:
    """Size and speed of a model, or of several run one after another.

    Attributes:
        parameters: Number of parameters.
        bytes: Size of the .tflite file or files.
        milliseconds: Median time for one example; the sum of the medians of several.
    """

    parameters: int
    bytes: int
    milliseconds: float


def compare_with_single_tasks(model: keras.Model, rounds: int = 50, threads: int = 1) -> tuple[Footprint, Footprint]:
    """Export and time the shared model and, for each task, a model of its own with the same trunk and head.

    The single-task models have the shared model's weights; their quality is not asked for here.

    Args:
        model: A functional model with dict outputs.
        rounds: Timed rounds, at least 1, default 50; in each, every file runs once, after 5 rounds to warm up.
        threads: Threads of the interpreter, default 1.

    Returns:
        Footprint of the shared model, and of the single-task models together.

    Example:
        >>> import keras
        >>> x = keras.Input((4,), name="x"); h = keras.layers.Dense(100)(x)
        >>> model = keras.Model(x, {"a": keras.layers.Dense(2)(h), "b": keras.layers.Dense(1)(h)})
        >>> shared, separate = compare_with_single_tasks(model, rounds=1)
        >>> shared.parameters, separate.parameters
        (803, 1303)
    """
    check_rounds(rounds)
    plain = inference_graph(model)
    graphs = [plain, *[task_graph(plain, task) for task in plain.output]]
    inputs = example_inputs(plain, batch_size=1)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.tflite" for number in range(len(graphs))]
        for graph, path in zip(graphs, paths, strict=True):
            litert(graph, path)
        runtimes = [open_runtime(path, threads) for path in paths]
        sizes = [path.stat().st_size for path in paths]
    calls = {number: partial(runtime.run, ALL_TASKS, inputs) for number, runtime in enumerate(runtimes)}
    medians = [median(seen) for seen in time_side_by_side(calls, rounds).values()]
    counts = [graph.count_params() for graph in graphs]
    return Footprint(counts[0], sizes[0], medians[0]), Footprint(sum(counts[1:]), sum(sizes[1:]), sum(medians[1:]))
