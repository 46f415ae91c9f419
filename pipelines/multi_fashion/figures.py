"""The two pictures of a run."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def draw_predictions(path: Path, model: Any, images: Any, labels: Any, names: dict[str, list[str]]) -> None:
    """A grid of test images with truth and prediction per task; wrong ones in red."""
    images = np.asarray(images)
    outputs = {task: np.asarray(values) for task, values in model(images, training=False).items()}
    columns = 4
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(3.1 * columns, 3.3 * rows), layout="constrained")
    for index, axes in enumerate(np.ravel(figure.subplots(rows, columns))):
        axes.set_axis_off()
        if index >= len(images):
            continue
        axes.imshow(images[index, :, :, 0], cmap="gray_r", vmin=0, vmax=1)
        for line, task in enumerate(outputs):
            scores, truth = outputs[task][index], int(labels[task][index])
            guess = int(scores.argmax())
            right = guess == truth
            text = f"{task}: {names[task][guess]} {scores[guess]:.0%}"
            text += "" if right else f" (is {names[task][truth]})"
            colour = "#1a7f37" if right else "#cf222e"
            axes.text(0.0, 1.14 - 0.09 * line, text, color=colour, fontsize=8.5, transform=axes.transAxes)
    figure.savefig(path, dpi=110)


def draw_training(path: Path, history: dict[str, list[float]], tasks: list[str]) -> None:
    """Loss, accuracy and applied weight per task over the epochs; validation dashed."""
    panels = {"loss": "loss", "accuracy": "accuracy", "weight": "applied weight"}
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, (key, title) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for number, task in enumerate(tasks):
            for prefix, style in (("", "-"), ("val_", "--")):
                values = history.get(f"{prefix}{task}_{key}")
                if values:
                    label = task + (" (validation)" if prefix else "")
                    axes.plot(
                        range(1, len(values) + 1), values, style, marker="o", ms=3, color=f"C{number}", label=label
                    )
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if key == "weight":
            axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
