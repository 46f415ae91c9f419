"""What a training run leaves behind: one version folder with the exports, pictures and the report."""

import contextlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mtl_keras import distribute
from mtl_keras.analysis import RunReport, draw_predictions, draw_training, results_table, score_logs
from mtl_keras.export import Manifest, compare_with_single_tasks, write_version
from mtl_keras.export._atomic import workplace

# where in the folder of a run its checkpoints are, and its random name beside them: who removes them begins another run
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class FinishedRun:
    """A trained model and what was seen of it. `write` is the last step of `mtl-keras train` and of every pipeline.

    Attributes:
        title: Heading of the report.
        model: The trained MultiTaskModel.
        history: Values per epoch by log key, as `fit` gives them.
        seconds: How long training took.
        logs: What `evaluate` gave on held-out examples, by log key.
        examples: A few held-out ones as one batch, `(x, {task: y})` or `(x, {task: y}, {task: weight})`: they are in
            the picture, and the exports are compared on them.
        before: What was done to the inputs, as for `export.write_version`.
        settings: `{option: value}`, for the report.
        reference: Errors of a baseline, as for `overall_score`, default none.
        note: Markdown below the results, default none.
        sections: More sections of the report, `{heading: Markdown}`.
        grey: As for `draw_images`.
        only_labelled: As for `draw_predictions`.
        resume: Folder of a run that can be taken up, default none. It is written once for each number of epochs.
    """

    title: str
    model: Any
    history: Mapping[str, Sequence[float]]
    seconds: float
    logs: Mapping[str, float]
    examples: Sequence[Any]
    before: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    reference: Mapping[str, float] | None = None
    note: str = ""
    sections: Mapping[str, str] = field(default_factory=dict)
    grey: str = "gray"
    only_labelled: bool = False
    resume: str | PathLike[str] | None = None

    def write(self, output: str | PathLike[str], extras: Callable[[Path], None] | None = None) -> Path:
        """Export, compare every output with the Keras model, draw, report, and print the results.

        Args:
            output: Folder of the versions; the next free number is taken.
            extras: Called with the folder before it gets its name, to add files.

        Returns:
            The version folder: the one that is there if this run was written before, up to the same epoch, by a process
            that was killed since or that came to its end.
        """
        run = None if self.resume is None else f"{_run_id(Path(self.resume) / CHECKPOINTS)}:{_epochs(self.history)}"
        written = None if run is None else _version_of(Path(output), run)
        if written is not None:
            print(f"This run is in {written} already; remove that folder to have it written again.")
            return written
        images, labels, weights = (*self.examples, None)[:3]
        found, overall = score_logs(self.model, self.logs, self.reference)
        print("Exporting, and comparing every output with the Keras model ...")
        results = results_table(found, overall, *compare_with_single_tasks(self.model))
        results += f"\n\n{self.note}" if self.note else ""

        def add(folder: Path, manifest: Any) -> None:
            picture = folder / "predictions.png"
            draw_predictions(picture, self.model, images, labels, weights, self.grey, self.only_labelled)
            metrics = {plan.name: plan.best[0] for plan in self.model.plan.tasks}
            draw_training(folder / "training.png", self.history, metrics)
            if extras is not None:
                extras(folder)
            report = RunReport(self.title, results, self.history, self.seconds, self.settings, self.sections)
            report.write(folder / "report.md", manifest)

        version = write_version(
            self.model,
            output,
            before=self.before,
            inputs=np.asarray(images),
            metrics={**self.logs, "overall": float("nan") if overall is None else overall},
            extras=add,
            run=run,
        )
        print(f"\n{results}\n\nWritten to {version}: {', '.join(sorted(path.name for path in version.iterdir()))}")
        return version


def _run_id(folder: Path) -> str:
    """The random name of the run with these checkpoints, drawn when it is first asked for."""
    path = folder / "run_id"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".unfinished-{path.name}"
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(secrets.token_hex(16))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    return path.read_text(encoding="utf-8")


def _epochs(history: Mapping[str, Sequence[float]]) -> int:
    return max(map(len, history.values()), default=0)


def _version_of(output: Path, run: str) -> Path | None:
    """The newest whole version of a run; damaged ones, and those of other formats, do not count."""
    versions = [path for path in output.glob("*/") if path.name.isascii() and path.name.isdigit()]
    for version in sorted(versions, key=lambda path: int(path.name), reverse=True):
        with contextlib.suppress(ValueError):
            manifest = Manifest.read(version)
            if manifest.run == run:
                manifest.check_files(version)
                return version
    return None


def check_output(output: str | PathLike[str]) -> None:
    """Refuse before a run what could not be written after it, and make the folder of the versions.

    Raises:
        ValueError: A file is in the way, or the folder cannot be made or written to.
    """
    if distribute.is_chief():
        with workplace(Path(output)):
            pass
