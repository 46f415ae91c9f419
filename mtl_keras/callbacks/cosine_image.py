"""The cosines between tasks' gradients as a picture."""

from collections.abc import Sequence

import numpy as np

_MOST_WITH_NUMBERS = 12


def cosine_image(names: Sequence[str], cosines: np.ndarray) -> np.ndarray:
    """A matrix of K tasks: red where they conflict, blue where they agree, grey where nothing was measured.

    Args:
        names: The tasks.
        cosines: Cosines [K, K] from -1 to 1; NaN where nothing was measured.

    Returns:
        RGB pixels, uint8 [height, width, 3].

    Example:
        >>> cosine_image(["age", "sex"], np.array([[1.0, -0.5], [-0.5, 1.0]])).shape[-1]
        3
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = 2.2 + 0.42 * min(len(names), _MOST_WITH_NUMBERS) + 0.2 * max(len(names) - _MOST_WITH_NUMBERS, 0)
    figure = Figure(figsize=(size + 0.6, size), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = matplotlib.colormaps["RdBu"].with_extremes(bad="0.8")
    image = axes.imshow(np.ma.masked_invalid(cosines), cmap=colours, vmin=-1.0, vmax=1.0)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    if len(names) <= _MOST_WITH_NUMBERS:
        for (i, j), value in np.ndenumerate(cosines):
            if np.isfinite(value):
                dark = abs(value) > 0.6
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="w" if dark else "k")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("cosine", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
