"""The table and the report of a run."""

from pathlib import Path
from typing import Any


def summary_table(found: dict[str, tuple[str, float, str]], overall: float | None, shared: Any, separate: Any) -> str:
    """A Markdown table: quality per task, and what one model saves against one per task."""
    names = " | ".join([*found, "overall"])
    values = " | ".join(["-" if n is None else f"{n:.4f}" for n in [*(v for _, v, _ in found.values()), overall]])
    columns = "|---" * (len(found) + 2) + "|"
    ratio = separate.milliseconds / shared.milliseconds
    return "\n".join(
        [
            f"| test accuracy | {names} |",
            columns,
            f"| one shared model | {values} |",
            "",
            f"|  | one shared model | {len(found)} models, one per task | saved |",
            "|---|---|---|---|",
            _row("parameters", shared.parameters, separate.parameters, ","),
            _row(".tflite bytes", shared.bytes, separate.bytes, ","),
            f"| latency, median ms | {shared.milliseconds:.2f} | {separate.milliseconds:.2f} | {ratio:.2f}x |",
            "",
            "The single-task models are copies with the same trunk and one head each, not trained on their own: "
            "what is compared is size and latency. One example, one thread, on this machine.",
        ]
    )


def _row(name: str, one: int, many: int, form: str) -> str:
    return f"| {name} | {one:{form}} | {many:{form}} | {many / one:.2f}x |"


def write_report(
    path: Path, table: str, manifest: Any, options: dict[str, Any], seconds: float, history: dict[str, list[float]]
) -> None:
    """Figures, exactness of the exports and the settings of a run as Markdown."""
    parity = [
        f"| {file} | {task} | {error:.1e} |" for file, of in manifest.parity.items() for task, error in of.items()
    ]
    settings = [f"| {name} | {value} |" for name, value in sorted(options.items())]
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    lines = [
        "# Multi-Fashion",
        "",
        f"{manifest.parameters:,} parameters, {len(history['loss'])} epochs in {seconds:.0f} s.",
        "",
        table,
        "",
        "![test images with truth and prediction](predictions.png)",
        "",
        "![curves per task](training.png)",
        "",
        "## Exports against the Keras model",
        "",
        "| file | task | largest error |",
        "|---|---|---|",
        *parity,
        "",
        "## Settings",
        "",
        "| option | value |",
        "|---|---|",
        *settings,
        "",
        f"Made with {versions}.",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
