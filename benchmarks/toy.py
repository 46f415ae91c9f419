"""From where methods reach the front of a problem of two losses over two parameters, and on which ways.

Five starts, Adam with a learning rate of 0.001, the published problem at both of its published scales of the first
loss. From two of the starts the way leads along narrow valleys of one loss, in which the sum of both comes to rest.
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from benchmarks.document import record, table
from benchmarks.toy_problem import FRONT, STARTS, losses, reached, ways
from mtl_keras import weightings

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "toy.png"
SCALES = (0.1, 1.0)
EVERY = 500


def methods(scale: float) -> list[weightings.Weighting]:
    """Those that are compared, new each time; FAMO is told how low the losses can be, which are below 0 here."""
    famo = weightings.FAMO(decay=0.0, min_losses=[-21.0 * scale, -21.0])
    names = ("mgda", "imtlg", "nash_mtl", "aligned_mtl", "pcgrad", "cagrad", "upgrad", "con_fig")
    return [weightings.get("equal"), famo, *map(weightings.get, names)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.toy", description=__doc__)
    parser.add_argument("--steps", type=int, default=50_000, help="of Adam, default 50000")
    steps = parser.parse_args(arguments).steps
    found = {
        scale: {type(m).__name__: ways(m, steps, every=EVERY, scale=scale) for m in methods(scale)} for scale in SCALES
    }
    text = report(found, steps)
    record("toy", text)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    draw(found[SCALES[0]], SCALES[0], PICTURE)
    print(text)


def report(found: dict[float, dict[str, np.ndarray]], steps: int) -> str:
    """The table of first steps on the front, as Markdown."""
    rows = []
    for name in found[SCALES[0]]:
        cells = [name]
        for scale in SCALES:
            firsts = first_steps(found[scale][name])
            number = sum(first is not None for first in firsts)
            cells.append(f"{number} of {len(STARTS)}")
            cells.append(" / ".join("–" if first is None else f"{first / 1000:g}" for first in firsts))
        rows.append(cells)
    head = ["method"]
    for scale in SCALES:
        head += [f"first loss × {scale:g}", "thousand steps to the front"]
    starts = ", ".join(f"({x:g}, {y:g})" for x, y in STARTS)
    return "\n".join(
        [
            "# Two losses over two parameters",
            "",
            f"Starts at {starts}; Adam with a learning rate of 0.001 for {steps} steps,",
            f"looked at every {EVERY}. On the front: within 0.25 of y = {FRONT}, x between -7.3 and 7.3. A dash: not",
            "reached in that time.",
            "",
            table(head, rows),
            "",
            "![The ways over the mean of the losses](../../docs/images/toy.png)",
            "",
            f"The picture shows the ways at a first loss × {SCALES[0]:g}. Made by `python -m benchmarks.toy`.",
            "",
        ]
    )


def first_steps(way: np.ndarray) -> list[int | None]:
    """At which step each start was first seen on the front."""
    on = reached(way)
    return [int(EVERY * column.argmax()) if column.any() else None for column in on.T]


def draw(found: dict[str, np.ndarray], scale: float, path: Path) -> None:
    """The ways of every method over the mean of both losses."""
    across, up = np.meshgrid(np.linspace(-10.5, 10.5, 211), np.linspace(-10.5, 10.5, 211))
    points = tf.constant(np.stack([across.ravel(), up.ravel()], 1))
    heights = losses(points, scale).numpy().mean(1).reshape(across.shape)
    columns = 5
    figure = Figure(figsize=(13, 5.8), layout="constrained")
    axes = figure.subplots(-(-len(found) // columns), columns, sharex=True, sharey=True, squeeze=False)
    for axis, (name, way) in zip(axes.flat, found.items(), strict=True):
        axis.contourf(across, up, heights, levels=24, cmap="Greys_r", vmin=-30.0)
        for colour, width in (("black", 6), ("white", 4)):
            axis.plot([-7, 7], [FRONT, FRONT], color=colour, linewidth=width, solid_capstyle="round")
        for k, on in enumerate(reached(way).any(0)):
            colour = f"C{k}"
            axis.plot(*way[:, k].T, color=colour, linewidth=1.6)
            axis.plot(*way[0, k], "o", color=colour, markersize=4)
            axis.plot(*way[-1, k], "*" if on else "X", color=colour, markersize=9, markeredgecolor="black")
        axis.set_title(f"{name}: {int(reached(way).any(0).sum())} of {len(STARTS)}", fontsize=10)
        axis.set(xlim=(-10.5, 10.5), ylim=(-10.5, 10.5), xticks=(-10, 0, 10), yticks=(-10, 0, 10))
    figure.suptitle(
        "From five starts (dots) to the front (white line): reached (stars) or not (crosses). Dark: low mean loss",
        fontsize=11,
    )
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
