"""Pictures of data and runs as PNG files."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from mtl_keras.analysis.captions import Caption, answer_caption

_COLOURS = {True: "#1a7f37", False: "#cf222e", None: "#24292f"}
_LONGEST = 44  # characters of a caption


def draw_images(
    path: str | PathLike[str],
    images: Sequence[Any],
    captions: Sequence[Sequence[Caption]],
    columns: int = 4,
    grey: str = "gray",
) -> None:
    """Draw a grid of images with lines of text above each: green for right, red for wrong, black for neither.

    Args:
        path: The PNG file.
        images: Arrays [H, W, 1 or 3], uint8 or floats from 0 to 1; sizes may differ.
        captions: Lines of each image.
        columns: Images in a row, default 4.
        grey: Matplotlib's colour map for images with one channel, default `"gray"`.
    """
    from matplotlib.figure import Figure

    lines = max((len(of) for of in captions), default=0)
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(3.1 * columns, (2.6 + 0.25 * lines) * rows), layout="constrained")
    for index, axes in enumerate(np.ravel(figure.subplots(rows, columns))):
        axes.set_axis_off()
        if index >= len(images):
            continue
        image = np.asarray(images[index])
        top = 255 if image.dtype == np.uint8 else 1
        if image.shape[-1] == 1:
            axes.imshow(image[..., 0], cmap=grey, vmin=0, vmax=top)
        else:
            axes.imshow(image if top == 255 else image.clip(0, 1))
        for line, caption in enumerate(captions[index]):
            text = caption.text if len(caption.text) <= _LONGEST else caption.text[: _LONGEST - 3] + "..."
            height = 1.03 + 0.095 * (len(captions[index]) - 1 - line)
            colour = _COLOURS[caption.right]
            # labels are anyone's text: a dollar sign is no formula
            axes.text(
                0.0,
                height,
                text,
                color=colour,
                fontsize=8.5,
                transform=axes.transAxes,
                parse_math=False,
                in_layout=True,
            )
    figure.savefig(path, dpi=110)


def draw_predictions(
    path: str | PathLike[str],
    model: Any,
    images: Any,
    labels: Mapping[str, Any],
    weights: Mapping[str, Any] | None = None,
    grey: str = "gray",
    only_labelled: bool = False,
) -> None:
    """Draw images with the model's answer for each task, and the truth where the answer is wrong.

    Args:
        path: The PNG file.
        model: A MultiTaskModel with heads and one image input.
        images: A batch as the model takes it, floats from 0 to 1.
        labels: `{task: labels}`.
        weights: `{task: weights}`, 0 where a label is missing; default all 1.
        grey: As for `draw_images`.
        only_labelled: Whether answers to tasks that an image has no label for are left out, default False.
    """
    outputs = {task: np.asarray(values) for task, values in model(images, training=False).items()}
    described = {task.name: task.head.describe() if task.head is not None else {} for task in model.tasks}
    labels = {task: np.asarray(values) for task, values in labels.items()}
    given = {task: np.asarray(values) for task, values in (weights or {}).items()}
    captions = [
        [
            answer_caption(task, described[task], of[index], labels[task][index], given[task][index] if given else 1.0)
            for task, of in outputs.items()
            if not only_labelled or not given or np.any(given[task][index] > 0)
        ]
        for index in range(len(images))
    ]
    draw_images(path, list(np.asarray(images)), captions, grey=grey)


def draw_training(
    path: str | PathLike[str], history: Mapping[str, Sequence[float]], metrics: Mapping[str, str]
) -> None:
    """Draw loss, deciding metric and applied weight of every task over the epochs; validation dashed.

    Args:
        path: The PNG file.
        history: Values per epoch by log key, as `fit` returns them.
        metrics: `{task: name of the metric that decides}`; tasks with the same metric share a panel.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    lines: dict[str, Any] = {}
    panels = ["loss", *dict.fromkeys(metrics.values()), "weight"]
    figure = Figure(figsize=(4 * len(panels), 3.6), layout="constrained")
    for axes, key in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for number, (task, metric) in enumerate(metrics.items()):
            if key not in ("loss", "weight", metric):
                continue
            for prefix, style in (("", "-"), ("val_", "--")):
                values = history.get(f"{prefix}{task}_{key}")
                if values:
                    epochs = range(1, len(values) + 1)
                    (lines[task],) = axes.plot(epochs, values, style, marker="o", ms=3, color=f"C{number}")
        axes.set_title("applied weight" if key == "weight" else key)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if key == "weight":
            axes.set_ylim(bottom=0)
    # beside the panels: with many tasks it would cover the curves
    handles = [Line2D([], [], marker="o", ms=3, color=line.get_color()) for line in lines.values()]
    names = list(lines)
    if any(key.startswith("val_") for key in history):
        handles, names = [*handles, Line2D([], [], ls="--", color="grey")], [*names, "validation"]
    figure.legend(handles, names, loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=110)
