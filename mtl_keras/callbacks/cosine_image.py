"""The cosines between tasks' gradients as a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_MOST_WITH_NUMBERS = 12


class CosineImage:
    """A matrix of K tasks: red where they conflict, blue where they agree, grey where nothing was measured.

    The figure is made once and drawn again for other cosines: matplotlib's figures refer to themselves, so that each
    new one would stay in memory until Python looks for such circles, which a long run seldom does.

    Args:
        names: The tasks.

    Example:
        >>> CosineImage(["age", "sex"]).draw(np.array([[1.0, -0.5], [-0.5, 1.0]])).shape[-1]
        3
    """

    def __init__(self, names: Sequence[str]):
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        count = len(names)
        size = 2.2 + 0.42 * min(count, _MOST_WITH_NUMBERS) + 0.2 * max(count - _MOST_WITH_NUMBERS, 0)
        figure = Figure(figsize=(size + 0.6, size), dpi=100, layout="constrained")
        self._canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        colours = matplotlib.colormaps["RdBu"].with_extremes(bad="0.8")
        self._image = axes.imshow(np.zeros((count, count)), cmap=colours, vmin=-1.0, vmax=1.0)
        axes.set_xticks(range(count), names, rotation=90, fontsize=8)
        axes.set_yticks(range(count), names, fontsize=8)
        cells = np.ndindex(count, count) if count <= _MOST_WITH_NUMBERS else ()
        self._numbers: dict[tuple[int, ...], Any] = {
            (i, j): axes.text(j, i, "", ha="center", va="center", fontsize=7) for i, j in cells
        }
        bar = figure.colorbar(self._image, ax=axes, shrink=0.8)
        bar.set_label("cosine", fontsize=8)
        bar.ax.tick_params(labelsize=7)

    def draw(self, cosines: np.ndarray) -> np.ndarray:
        """The picture of some cosines.

        Args:
            cosines: [K, K] from -1 to 1; NaN where nothing was measured.

        Returns:
            RGB pixels, uint8 [height, width, 3].
        """
        self._image.set_data(np.ma.masked_invalid(cosines))
        for cell, number in self._numbers.items():
            value = cosines[cell]
            number.set_text(f"{value:.2f}" if np.isfinite(value) else "")
            number.set_color("w" if abs(value) > 0.6 else "k")
        self._canvas.draw()
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()
