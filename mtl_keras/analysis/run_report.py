"""The report of a run as Markdown: results, what sharing saves, data, exactness of the exports, settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

Found = Mapping[str, tuple[str, float, str]]


def results_table(found: Found, overall: float | None, shared: Any = None, separate: Any = None) -> str:
    """A Markdown table: quality per task, and what one model saves against one per task.

    Args:
        found: As `task_metrics` gives it.
        overall: The overall score, or None.
        shared, separate: Footprints as `export.compare_with_single_tasks` gives them; default none.
    """
    metrics = [key.removeprefix(f"{task}_") for task, (key, _, _) in found.items()]
    alike = len(set(metrics)) == 1
    heads = [task if alike else f"{task} {metric}" for task, metric in zip(found, metrics, strict=True)]
    values = [*(value for _, value, _ in found.values()), overall]
    lines = [
        table_row([f"test {metrics[0]}" if alike else "test", *heads, "overall"]),
        "|---" * (len(heads) + 2) + "|",
        table_row(["one shared model", *("-" if value is None else f"{value:.4f}" for value in values)]),
    ]
    if shared is not None and separate is not None:
        ratio = separate.milliseconds / shared.milliseconds
        lines += [
            "",
            f"|  | one shared model | {len(found)} models, one per task | saved |",
            "|---|---|---|---|",
            _saved("parameters", shared.parameters, separate.parameters),
            _saved(".tflite bytes", shared.bytes, separate.bytes),
            f"| latency, median ms | {shared.milliseconds:.2f} | {separate.milliseconds:.2f} | {ratio:.2f}x |",
            "",
            "The single-task models are copies with the same trunk and one head each, not trained on their own: "
            "what is compared is size and latency. One example, one thread, on this machine.",
        ]
    return "\n".join(lines)


def _saved(name: str, one: int, many: int) -> str:
    return f"| {name} | {one:,} | {many:,} | {many / one:.2f}x |"


def table_row(cells: Sequence[Any]) -> str:
    """One row of a Markdown table; what would end a cell is written so that it does not."""
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


@dataclass(frozen=True)
class RunReport:
    """What a run has to say.

    Attributes:
        title: The heading.
        results: Markdown, see `results_table`.
        history: Values per epoch by log key.
        seconds: How long training took.
        settings: `{option: value}`.
        sections: More sections, `{heading: Markdown}`, before the exports.
        pictures: `{file beside the report: what it shows}`.
    """

    title: str
    results: str
    history: Mapping[str, Sequence[float]]
    seconds: float
    settings: Mapping[str, Any]
    sections: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(
        default_factory=lambda: {
            "predictions.png": "test images with truth and prediction",
            "training.png": "curves per task",
        }
    )

    def write(self, path: str | PathLike[str], manifest: Any) -> None:
        """Write the report; `manifest` is that of the version folder."""
        parity = [
            table_row([file, task, f"{error:.1e}"])
            for file, of in manifest.parity.items()
            for task, error in of.items()
        ]
        versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
        lines = [
            f"# {self.title}",
            "",
            f"{manifest.parameters:,} parameters, {len(self.history['loss'])} epochs in {self.seconds:.0f} s.",
            "",
            self.results,
            "",
        ]
        for file, shows in self.pictures.items():
            lines += [f"![{shows}]({file})", ""]
        for heading, text in self.sections.items():
            lines += [f"## {heading}", "", text, ""]
        lines += [
            "## Exports against the Keras model",
            "",
            "| file | task | largest error |",
            "|---|---|---|",
            *parity,
            "",
        ]
        settings = [table_row([name, value]) for name, value in sorted(self.settings.items())]
        lines += ["## Settings", "", "| option | value |", "|---|---|", *settings, "", f"Made with {versions}.", ""]
        Path(path).write_text("\n".join(lines), encoding="utf-8")
