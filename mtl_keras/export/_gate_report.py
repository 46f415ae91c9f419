"""What the gate found: rows, tables, a chart."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REFERENCE = "float32"
NAME = "quantization"


@dataclass(frozen=True)
class PresetResult:
    """One preset, measured.

    Attributes:
        preset: Its name.
        file: The file's name; it is kept if it passed.
        bytes: The file's size.
        metrics: `{task: metric}` on all examples, through the runtime.
        drops: `{task: what it loses}`, see `quantize`; negative where it gains.
        errors: `{task: largest difference to the Keras model's outputs}`, as `parity` measures it.
        latency: `{threads: (median, p95)}` in milliseconds for one batch of the file.
        memory: Peak bytes of loading and running it; None where the system does not tell.
        over: The tasks that lose more than their limit.
        refused: Why there is no file, or None.
    """

    preset: str
    file: str
    bytes: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    drops: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    latency: dict[int, tuple[float, float]] = field(default_factory=dict)
    memory: int | None = None
    over: tuple[str, ...] = ()
    refused: str | None = None

    @property
    def passed(self) -> bool:
        """Whether there is a file and every task is within its limit."""
        return self.refused is None and not self.over


@dataclass(frozen=True)
class QuantizationReport:
    """What `quantize` found.

    Attributes:
        chosen: The preset with the smallest file of those that passed; None if none did.
        results: One per preset, and that of float32 to compare with.
        candidates: The presets that could be chosen.
        reference: `{task: metric}` of the Keras model.
        best: `{task: (metric's name, "max" or "min")}`.
        max_drop: `{task: limit}`.
        examples: How many examples the metrics are on.
        files: `{preset: where its file is}` for those that passed.
    """

    chosen: str | None
    results: list[PresetResult]
    candidates: list[str]
    reference: dict[str, float]
    best: dict[str, tuple[str, str]]
    max_drop: dict[str, float]
    examples: int
    files: dict[str, Path] = field(default_factory=dict)

    def result(self, preset: str) -> PresetResult:
        """The row of one preset."""
        return next(row for row in self.results if row.preset == preset)

    def summary(self) -> tuple[list[str], list[list[str]]]:
        """Column names and one row per preset: size, worst loss, error, latency, memory, verdict."""
        threads = next((list(row.latency) for row in self.results if row.latency), [])
        columns = ["preset", "bytes", "of float32", "largest drop", "worst error"]
        columns += [f"ms, {count} thread{'s' * (count > 1)} (p95)" for count in threads] + ["peak memory", "verdict"]
        whole = self.result(REFERENCE).bytes
        rows = []
        for row in self.results:
            if row.refused is not None:
                rows.append([row.preset, *["-"] * (len(columns) - 2), "not possible"])
                continue
            worst = max(row.drops, key=lambda task: row.drops[task])
            times = [f"{median:.2f} ({p95:.2f})" for median, p95 in row.latency.values()]
            rows.append(
                [
                    row.preset,
                    f"{row.bytes:,}",
                    f"{row.bytes / whole:.3f}",
                    f"{row.drops[worst]:+.2f} ({worst})",
                    f"{max(row.errors.values()):.1e}",
                    *times,
                    "-" if row.memory is None else f"{row.memory / 1e6:.1f} MB",
                    self._verdict(row),
                ]
            )
        return columns, rows

    def per_task(self) -> tuple[list[str], list[list[str]]]:
        """Column names and one row per task: limit, the Keras model's metric, that of every preset with its drop."""
        there = [row for row in self.results if row.refused is None]
        columns = ["task", "metric", "limit", "Keras", *[row.preset for row in there]]
        rows = []
        for task, (metric, _) in self.best.items():
            cells = [
                f"{row.metrics[task]:.4f} ({row.drops[task]:+.2f}){'!' if task in row.over else ''}" for row in there
            ]
            rows.append([task, metric, f"{self.max_drop[task]:g}", f"{self.reference[task]:.4f}", *cells])
        return columns, rows

    def markdown(self) -> str:
        """Both tables and what was decided, as Markdown."""
        said = [f"- `{row.preset}`: {row.refused}" for row in self.results if row.refused is not None]
        return "\n\n".join(
            [
                f"# Quantization\n\n{self.decision()}",
                _table(*self.summary()),
                "What each task loses: hundredths of a metric where larger is better, percent of it where smaller is; "
                f"`!` marks what is beyond the limit. On {self.examples:,} examples.",
                _table(*self.per_task()),
                *(["Not possible:\n\n" + "\n".join(said)] if said else []),
            ]
        )

    def decision(self) -> str:
        """One line: what was chosen, or that nothing may be."""
        if self.chosen is None:
            return f"None of {', '.join(self.candidates)} keeps every task within its limit."
        row = self.result(self.chosen)
        whole = self.result(REFERENCE).bytes
        return f"Chosen: `{self.chosen}`, {row.bytes:,} bytes, {row.bytes / whole:.3f} of float32."

    def to_json(self) -> str:
        """Everything as JSON; what is infinite is null."""
        content = {**asdict(self), "files": {preset: path.name for preset, path in self.files.items()}}
        return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"

    def write(self, folder: Path) -> None:
        """Write `quantization.md`, `.json` and `.png` into a folder."""
        (folder / f"{NAME}.md").write_text(self.markdown() + "\n", encoding="utf-8")
        (folder / f"{NAME}.json").write_text(self.to_json(), encoding="utf-8")
        self.draw(folder / f"{NAME}.png")

    def draw(self, path: Path) -> None:
        """Size against metric, one panel per task: presets that pass in green, others in red, the limit dashed."""
        from matplotlib.figure import Figure

        columns = min(3, len(self.best))
        lines = math.ceil(len(self.best) / columns)
        figure = Figure(figsize=(4.6 * columns, 3.4 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        there = [row for row in self.results if row.refused is None]
        for axes, (task, (metric, direction)) in zip(panels, self.best.items(), strict=False):
            for row in there:
                allowed = task not in row.over
                colour = "#1a7f37" if allowed else "#cf222e"
                point = row.bytes / 1e3, row.metrics[task]
                axes.plot(
                    *point,
                    "o" if row.preset != self.chosen else "*",
                    ms=6 if row.preset != self.chosen else 13,
                    color=colour,
                )
                axes.annotate(row.preset, point, xytext=(5, 4), textcoords="offset points", fontsize=8)
            limit = _worst_allowed(self.reference[task], self.max_drop[task], direction)
            axes.axhline(self.reference[task], color="#57606a", lw=1)
            axes.axhline(limit, color="#57606a", lw=1, ls="--")
            axes.set_title(task, fontsize=10)
            axes.set_ylabel(f"{metric} ({'higher' if direction == 'max' else 'lower'} is better)", fontsize=8)
            axes.set_xlabel("kilobytes", fontsize=8)
            axes.margins(x=0.25, y=0.2)
            axes.grid(alpha=0.3)
        for axes in panels[len(self.best) :]:
            axes.set_axis_off()
        figure.suptitle("solid line: the Keras model; dashed: the most a task may lose; star: chosen", fontsize=9)
        figure.savefig(path, dpi=110)

    def _verdict(self, row: PresetResult) -> str:
        if row.over:
            return f"refused: {', '.join(row.over)}"
        if row.preset not in self.candidates:
            return "to compare with"
        return "chosen" if row.preset == self.chosen else "passes"


def drop(reference: float, value: float, direction: str) -> float:
    """What is lost: hundredths where larger is better, percent of the reference where smaller is.

    Example:
        >>> round(drop(0.90, 0.89, "max"), 6), round(drop(2.0, 2.1, "min"), 6), drop(0.0, 0.0, "min")
        (1.0, 5.0, 0.0)
    """
    if direction == "max":
        return 100.0 * (reference - value)
    if value == reference:
        return 0.0
    return 100.0 * (value - reference) / reference if reference > 0 else math.inf


def _worst_allowed(reference: float, limit: float, direction: str) -> float:
    return reference - limit / 100 if direction == "max" else reference * (1 + limit / 100)


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(of) for key, of in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
