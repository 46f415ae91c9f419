"""What 8 bits and a shared trunk save, and what they cost: size, time, and points lost per task.

Trains the pipelines' models, sends them through the gate (`mtl_keras.export.quantize`), and times one shared model
against one model per task. Files are timed side by side in one process, so only ratios of times are reported.
"""

import argparse
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

import mtl_keras as mtl
from benchmarks.document import RESULTS, ROOT, publish, record, table

PAGE = ROOT / "docs" / "export.md"
MEASURED = RESULTS / "export.json"
BUILD = ROOT / "runs" / "data"
TRAINED = ROOT / "runs" / "benchmarks"  # models that were trained before: delete them to train again
PRESETS = ("float16", "dynamic", "int8", "int8_full")
SMALLEST, MOST_LOST, FASTER, SHARED = 0.28, 0.5, 2.0, 4.0  # the aims
ONE_FOR_ALL = "one model for 5 tasks, `residual` trunk"


@dataclass(frozen=True)
class Aim:
    """One number that was measured, and what it ought to be.

    Attributes:
        subject, measure: What was measured, of what.
        value: What was found.
        limit: The most that was aimed at.
        digits: Digits after the point.
        least: Whether the limit is the least instead.
    """

    subject: str
    measure: str
    value: float
    limit: float
    digits: int = 2
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether the number that is printed keeps the limit."""
        value = round(self.value, self.digits)
        return math.isfinite(value) and (value >= self.limit if self.least else value <= self.limit)

    def cells(self) -> list[str]:
        """A row of the table."""
        found = f"{self.value:.{self.digits}f}"
        return [
            self.subject,
            self.measure,
            f"{'at least' if self.least else 'at most'} {self.limit:g}",
            found if self.met else f"**{found}**",
        ]


@dataclass(frozen=True)
class Measured:
    """A model in every preset.

    Attributes:
        examples: How many examples the metrics are on.
        epochs: How long it was trained; None for as long as its pipeline does.
        bytes, times: `{preset: size of the file, milliseconds on one thread}`.
        metrics, drops: `{preset: {task: metric, what is lost}}`.
    """

    examples: int
    epochs: int | None
    bytes: dict[str, int]
    times: dict[str, float]
    metrics: dict[str, dict[str, float]]
    drops: dict[str, dict[str, float]]

    def of(self, values: dict[str, Any], preset: str) -> float:
        """A preset's value as a share of float32's."""
        return values[preset] / values["float32"]


def multi_fashion(trunk: str, epochs: int | None) -> tuple[Any, Any, Any]:
    """Two garments on one image of 36x36: model, data to judge with, data to calibrate with."""
    from pipelines.multi_fashion import dataset, pipeline

    model = trained(pipeline, trunk, epochs)
    train, validation, _ = pipeline.batches(dataset.load(BUILD), 128, 0)
    return model, validation, train


def clothing(trunk: str, epochs: int | None) -> tuple[Any, Any, Any]:
    """Garment and who wears it on photos of 64x64: model, data to judge with, data to calibrate with."""
    from pipelines.clothing import pipeline
    from pipelines.clothing.files import write_files

    model = trained(pipeline, trunk, epochs)
    source = pipeline.photos(write_files(BUILD / "clothing"), seed=0)
    return model, source.batches(64, split="test"), source


MODELS: dict[str, Callable[[int | None], tuple[Any, Any, Any]]] = {
    "Multi-Fashion, `conv` trunk": lambda epochs: multi_fashion("conv", epochs),
    "Multi-Fashion, `residual` trunk": lambda epochs: multi_fashion("residual", epochs),
    "clothing, `conv` trunk": lambda epochs: clothing("conv", epochs),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--epochs", type=int, default=None, help="of each training, default the pipeline's own")
    parser.add_argument("--models", type=int, nargs="+", help="measure only these models again, from 0")
    parser.add_argument("--rounds", type=int, default=100, help="timed rounds, default 100")
    options = parser.parse_args(arguments)

    known = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    names = list(MODELS)
    for index in options.models or range(len(names)):
        known[names[index]] = asdict(gate(MODELS[names[index]], options.epochs, options.rounds))
        MEASURED.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    known[ONE_FOR_ALL] = shared(options.rounds)
    MEASURED.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    write(known)


def write(known: dict[str, Any]) -> None:
    """Publish what was measured."""
    measured = {name: Measured(**known[name]) for name in MODELS if name in known}
    text = report(measured, known[ONE_FOR_ALL])
    print(text)
    publish("export", text, PAGE)
    record("export_presets", every_preset(measured))


def trained(pipeline: Any, trunk: str, epochs: int | None) -> keras.Model:
    """The model that a pipeline trains, or trained before."""
    kept = TRAINED / f"{pipeline.__name__.split('.')[1]}_{trunk}_{epochs or 'own'}.keras"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            options = ["--trunk", trunk, "--output", f"{folder}/versions", "--runs", f"{folder}/runs"]
            version = pipeline.main([*options, *(["--epochs", str(epochs)] if epochs else [])])
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(version / "model.keras", kept)
    return keras.models.load_model(kept)


def gate(make: Callable[[int | None], tuple[Any, Any, Any]], epochs: int | None, rounds: int) -> Measured:
    """A model through the gate."""
    model, judged, calibration = make(epochs)
    with tempfile.TemporaryDirectory() as folder:
        found = mtl.export.quantize(
            model, Path(folder) / "gate", judged, PRESETS, MOST_LOST, calibration, rounds=rounds, threads=[1]
        )
    rows = {row.preset: row for row in found.results if row.refused is None}
    return Measured(
        found.examples,
        epochs,
        {name: row.bytes for name, row in rows.items()},
        {name: row.latency[1][0] for name, row in rows.items()},
        {name: row.metrics for name, row in rows.items()},
        {name: row.drops for name, row in rows.items()},
    )


def shared(rounds: int) -> dict[str, float]:
    """One residual trunk with five classifiers, against five networks: times less time, times smaller."""
    image = keras.Input((64, 64, 3), name="image")
    tasks = [mtl.Task(name, mtl.heads.Classifier(10)) for name in ("kind", "colour", "cut", "season", "brand")]
    model = mtl.build(image, mtl.sharing.Hard(mtl.trunks.Residual((32, 64, 128), 1)), tasks)
    one, several = mtl.export.compare_with_single_tasks(model, rounds)
    return {"time": several.milliseconds / one.milliseconds, "size": several.bytes / one.bytes}


def aims(measured: dict[str, Measured], saved: dict[str, float]) -> Iterator[Aim]:
    """Every number that something is aimed at."""
    for name, of in measured.items():
        yield Aim(name, "`int8`, share of the float32 file's size", of.of(of.bytes, "int8"), SMALLEST, 3)
        for task, lost in of.drops["int8"].items():
            whole = 100 * of.metrics["float32"][task]
            yield Aim(name, f"`int8`, points that {task} loses of {whole:.1f}", lost, MOST_LOST)
        if "residual" in name:
            yield Aim(name, "`int8`, times as fast as float32", 1 / of.of(of.times, "int8"), FASTER, least=True)
    yield Aim(ONE_FOR_ALL, "times less time than 5 models", saved["time"], SHARED, least=True)
    yield Aim(ONE_FOR_ALL, "times smaller than 5 files", saved["size"], SHARED, least=True)


def report(measured: dict[str, Measured], saved: dict[str, float]) -> str:
    """The table of aims."""
    found = list(aims(measured, saved))
    missed = sum(not aim.met for aim in found)
    examples = ", ".join(f"{name} on {of.examples:,} examples" for name, of in measured.items())
    trained_for = ", ".join(f"{name} {of.epochs or 'its pipeline’s'} epochs" for name, of in measured.items())
    return "\n\n".join(
        [
            table(["model", "measure", "aim", "found"], [aim.cells() for aim in found]),
            f"{len(found) - missed} of {len(found)} aims are met{'; the others are bold' if missed else ''}. Metrics of"
            f" {examples}. Trained for: {trained_for}. Times are medians of calls that took turns, one example on one"
            " thread. Made by `python -m benchmarks.export`.",
        ]
    )


def every_preset(measured: dict[str, Measured]) -> str:
    """Tables with all presets, one for each model."""
    parts = ["# Every preset", "Times as ratios, one example on one thread. Made by `python -m benchmarks.export`."]
    for name, of in measured.items():
        tasks = list(of.metrics["float32"])
        rows = [
            [
                f"`{preset}`",
                f"{of.bytes[preset]:,}",
                f"{of.of(of.bytes, preset):.3f}",
                f"{1 / of.of(of.times, preset):.2f}",
                *(f"{of.metrics[preset][task]:.4f} ({of.drops[preset][task]:+.2f})" for task in tasks),
            ]
            for preset in of.bytes
        ]
        head = ["preset", "bytes", "of float32", "times as fast", *(f"{task} (points lost)" for task in tasks)]
        parts += [f"## {name}", table(head, rows)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
