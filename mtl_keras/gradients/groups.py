"""Small gradients of one shape handled as one tensor: forty heads would cost forty times as many operations."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import prod

import tensorflow as tf

from mtl_keras.gradients.gramian import Row

# from so many numbers on, leaving out those of an axis of unknown length, copying a gradient costs more than operations
LARGE = 2**12


@dataclass(frozen=True)
class Group:
    """Gradients of one shape.

    Attributes:
        places: `(row, column)` of each.
        stacked: All of them, [n, ...].
    """

    places: list[tuple[int, int]]
    stacked: tf.Tensor

    def of_rows(self, values: tf.Tensor) -> tf.Tensor:
        """One value per row, spread over the gradients, [n, 1, ...]."""
        found = tf.gather(values, [row for row, _ in self.places])
        return tf.reshape(tf.cast(found, self.stacked.dtype), [-1] + [1] * (self.stacked.shape.rank - 1))


def groups(rows: list[Row]) -> list[Group]:
    """All pieces of some rows; each large one is a group of its own."""
    found: dict[Hashable, list[tuple[int, int, tf.Tensor]]] = {}
    for i, row in enumerate(rows):
        for j, piece in enumerate(row):
            if piece is not None:
                found.setdefault(_key(piece, i, j), []).append((i, j, piece))
    return [Group([(i, j) for i, j, _ in members], _stacked([m[2] for m in members])) for members in found.values()]


def changed(rows: list[Row], change: Callable[[Group], tf.Tensor]) -> list[Row]:
    """The rows with other values: what `change` makes of a group's stacked gradients."""
    result: list[Row] = [[None] * len(row) for row in rows]
    for group in groups(rows):
        for (i, j), piece in zip(group.places, _unstacked(change(group), len(group.places)), strict=True):
            result[i][j] = piece
    return result


def scaled(rows: list[Row], factors: tf.Tensor) -> list[Row]:
    """Rows times their factors [len(rows)]; a factor of 0 hides what is not finite."""
    return changed(rows, lambda group: tf.math.multiply_no_nan(group.stacked, group.of_rows(factors)))


def _stacked(pieces: list[tf.Tensor]) -> tf.Tensor:
    return tf.stack(pieces) if len(pieces) > 1 else pieces[0][None]  # without a copy


def _unstacked(stacked: tf.Tensor, number: int) -> list[tf.Tensor]:
    return tf.unstack(stacked, num=number) if number > 1 else [tf.squeeze(stacked, 0)]


def _key(piece: tf.Tensor, row: int, column: int) -> Hashable:
    shape, dtype = piece.shape, piece.dtype
    if shape.rank is None or prod(size or 1 for size in shape) >= LARGE:
        return row, column
    # lengths that are not known are the same for all tasks at one tensor of the cut, and not elsewhere
    return (tuple(shape), dtype) if shape.is_fully_defined() else (tuple(shape), dtype, column)
