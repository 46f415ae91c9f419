"""The gate: every quantized file measured task by task before one of them is called good."""

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from mtl_keras.errors import message
from mtl_keras.export._atomic import appearing
from mtl_keras.export._batches import read_batches
from mtl_keras.export._bench import bench
from mtl_keras.export._gate_report import REFERENCE, PresetResult, QuantizationReport, drop
from mtl_keras.export._inference_graph import inference_graph
from mtl_keras.export._litert import litert
from mtl_keras.export._manifest import Manifest
from mtl_keras.export._memory import peak_memory
from mtl_keras.export._parity import keras_outputs, output_error
from mtl_keras.export._pixels import pixel_steps, to_pixels
from mtl_keras.export._presets import preset
from mtl_keras.export._runtimes import ALL_TASKS, LiteRTRuntime
from mtl_keras.export._scorer import Scorer

AUTO = "auto"
CANDIDATES = ("float16", "dynamic", "int8")  # what every runtime takes, browsers included
KERAS = "keras"  # the model itself, among the names of presets
_ROUNDING = 1e-9  # of a limit that is met exactly


def quantize(
    model: Any,
    folder: str | PathLike[str],
    data: Any,
    presets: str | Sequence[str] = AUTO,
    max_drop: float | Mapping[str, float] = 0.5,
    calibration: Any = None,
    before: Mapping[str, Any] | None = None,
    pixels: bool = False,
    batch_size: int | None = 1,
    examples: int = 200,
    rounds: int = 50,
    threads: Sequence[int] = (1, 2),
    seed: int = 0,
    reference: Any = None,
) -> QuantizationReport:
    """Export presets, evaluate each per task on real data through the real runtime, and keep those that are good.

    What a task loses is measured by its deciding metric (the first of its metrics) against the Keras model on the same
    examples: `100 (reference - value)` where larger is better, so points of accuracy; `100 (value - reference) /
    reference`, so percent more error, where smaller is better.

    The folder gets `model_<preset>.tflite` of every preset that passed, and the findings as `quantization.md`,
    `quantization.json` and `quantization.png`. Files that do not pass are not kept.

    Args:
        model: A compiled MultiTaskModel.
        folder: A folder that does not exist.
        data: Validation data with labels, as for `calibration_examples` (of a source the `val` split): all of it is
            used.
        presets: What may be chosen, names as for `litert`; `"auto"` (default) is `float16`, `dynamic` and `int8`.
            float32 is measured in any case.
        max_drop: The most that a task may lose: one number for all, default 0.5, or `{task: number}`, 0.5 for others.
        calibration: Data for the integer presets; default `data` (of a source the `train` split).
        before, pixels, batch_size, examples, seed: As for `litert`.
        rounds: Timed rounds, default 50.
        threads: Numbers of threads to time with, default 1 and 2.
        reference: The Keras model whose metrics count as no loss, default `model`; of a `quantization_aware` model the
            one that it was made from.

    Returns:
        The findings; `chosen` is the preset with the smallest file of those that passed, or None.

    Raises:
        ValueError: The model has no metrics, data or limits do not fit, or the path exists. A preset that cannot be
            exported is no error but a row that says why.

    Example:
        >>> import tempfile, keras, numpy as np, mtl_keras as mtl
        >>> tasks = [mtl.Task("colour", mtl.heads.Classifier(3)), mtl.Task("price", mtl.heads.Regressor())]
        >>> model = mtl.build(keras.Input((8, 8, 3), name="image"), mtl.sharing.Hard(mtl.trunks.Conv((4,))), tasks)
        >>> model.compile("adam")
        >>> x, y = np.zeros((8, 8, 8, 3), "float32"), {"colour": np.zeros(8, int), "price": np.ones(8)}
        >>> report = quantize(model, tempfile.mkdtemp() + "/small", (x, y), ["dynamic"], rounds=1)
        >>> report.chosen, [result.preset for result in report.results]
        ('dynamic', ['float32', 'dynamic'])
    """
    candidates = _candidates(presets)
    names = [REFERENCE, *(name for name in candidates if name != REFERENCE)]
    scorer = Scorer(model)
    tasks = [plan.name for plan in model.plan.tasks]
    limits = _limits(max_drop, tasks)
    wanted = calibration if calibration is not None else data
    with appearing(folder) as unfinished:
        unfinished.mkdir()
        files, refused = {}, {}
        for name in names:
            path = unfinished / f"model_{name}.tflite"
            try:
                # not judged by its largest error: that is what the metrics are for
                litert(model, path, name, batch_size, None, None, math.inf, wanted, before, pixels, examples, seed)
                files[name] = path
            except ValueError as error:
                if name == REFERENCE:
                    raise
                refused[name] = str(error)
        steps = pixel_steps(Manifest.of(model, before).preprocessing["before"], model) if pixels else {}
        found, errors, count = _evaluate(model, reference, scorer, files, data, steps)
        times = bench(list(files.values()), threads, [ALL_TASKS], rounds, seed=seed)
        yardstick = {task: value for task, (_, value, _) in found[KERAS].items()}
        best = {task: (metric, direction) for task, (metric, _, direction) in found[KERAS].items()}
        results = []
        for name in names:
            file = f"model_{name}.tflite"
            if name in refused:
                results.append(PresetResult(name, file, refused=refused[name]))
                continue
            path = files[name]
            metrics = {task: value for task, (_, value, _) in found[name].items()}
            drops = {task: drop(yardstick[task], metrics[task], best[task][1]) for task in tasks}
            results.append(
                PresetResult(
                    name,
                    file,
                    path.stat().st_size,
                    metrics,
                    drops,
                    errors[name],
                    {time.threads or 0: (time.median, time.p95) for time in times if Path(time.file) == path},
                    peak_memory(path),
                    # not "more than": a metric that is not a number passes nothing
                    tuple(task for task in tasks if not drops[task] <= limits[task] + _ROUNDING),
                )
            )
        good = [row for row in results if row.passed and row.preset in candidates]
        chosen = min(good, key=lambda row: row.bytes).preset if good else None
        kept = {row.preset: Path(folder) / row.file for row in good}
        report = QuantizationReport(chosen, results, candidates, yardstick, best, limits, count, kept)
        for name, path in files.items():
            if name not in kept:
                path.unlink()
        report.write(unfinished)
    return report


def _candidates(presets: str | Sequence[str]) -> list[str]:
    given = [presets] if isinstance(presets, str) else list(presets)
    names = [name for entry in given for name in (CANDIDATES if entry == AUTO else [preset(entry).name])]
    if not names:
        raise ValueError(message("at least one preset", f"pass presets={AUTO!r}", presets=given))
    return list(dict.fromkeys(names))


def _limits(max_drop: float | Mapping[str, float], tasks: list[str]) -> dict[str, float]:
    given = dict(max_drop) if isinstance(max_drop, Mapping) else dict.fromkeys(tasks, max_drop)
    for task, limit in given.items():
        if task not in tasks:
            raise ValueError(message(f"limits of the trained tasks {tasks}", "correct the name", task=task))
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 <= limit < math.inf:
            raise ValueError(
                message(f"a finite limit of at least 0 for task {task!r}", "pass max_drop=0.5", max_drop=limit)
            )
    return {task: float(given.get(task, 0.5)) for task in tasks}


def _evaluate(
    model: Any, reference: Any, scorer: Scorer, files: Mapping[str, Path], data: Any, steps: Any
) -> tuple[dict[str, dict[str, tuple[str, float, str]]], dict[str, dict[str, float]], int]:
    """Metrics and largest errors of every file, and the Keras model's metrics as `KERAS`; how many examples."""
    plain = inference_graph(model)
    runtimes = {name: LiteRTRuntime(path) for name, path in files.items()}
    errors = {name: dict.fromkeys(plain.output, 0.0) for name in runtimes}
    count = 0
    for batch in read_batches(data, [tensor.name for tensor in plain.inputs], list(plain.output)):
        count += batch.size
        given = {t.name: batch.inputs[t.name].astype(t.dtype) for t in plain.inputs}
        expected = keras_outputs(plain, given)
        best = expected if reference is None else keras_outputs(reference, given)
        scorer.add(KERAS, best, batch.labels, batch.weights)
        taken = to_pixels(batch.inputs, steps)
        for name, runtime in runtimes.items():
            outputs = runtime.run(ALL_TASKS, taken)
            scorer.add(name, outputs, batch.labels, batch.weights)
            for task, value in outputs.items():
                errors[name][task] = max(errors[name][task], output_error(value, expected[task]))
    return {name: scorer.result(name) for name in (KERAS, *runtimes)}, errors, count
