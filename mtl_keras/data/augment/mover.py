"""Image, masks and boxes of a batch, moved by one map."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.data.augment.affine import move_boxes, take, warp
from mtl_keras.data.augment.base import Size
from mtl_keras.errors import message

_WARPED = (tf.uint8, tf.int32, tf.int64, tf.float16, tf.float32, tf.float64)


@dataclass(frozen=True)
class Batch:
    """What augmentations work on.

    Attributes:
        images: [B, H, W, C].
        labels: `{task: labels [B, ...]}`.
        weights: `{task: float32 weights}`, [B] or at the shape of the labels.
    """

    images: tf.Tensor
    labels: dict[str, tf.Tensor]
    weights: dict[str, tf.Tensor]

    @property
    def size(self) -> Size:
        """Of the images."""
        height, width = self.images.shape[1:3]
        if height is None or width is None or self.images.shape.rank != 4:
            raise ValueError(
                message(
                    "images [B, height, width, channels] of one known size",
                    "resize them before they are augmented",
                    shape=tuple(self.images.shape),
                )
            )
        return Size(height, width)

    def weight(self, task: str) -> tf.Tensor:
        """The weights of a task; 1 for each example where none were given."""
        return self.weights.get(task, tf.ones(tf.shape(self.images)[:1]))

    def with_label(self, task: str, labels: tf.Tensor, weights: tf.Tensor) -> "Batch":
        """A batch with other labels of one task."""
        return replace(self, labels={**self.labels, task: labels}, weights={**self.weights, task: weights})


@dataclass(frozen=True)
class Mover:
    """Moves image, masks and boxes of a batch together; the fields are those of `Chain`."""

    masks: Sequence[str]
    boxes: Sequence[str]
    box_format: str
    visible: float
    fill: str
    fill_value: float

    def __call__(self, batch: Batch, matrix: tf.Tensor, size: Size, exact: bool) -> Batch:
        """The moved batch.

        Args:
            batch: Images are float32 unless `exact`.
            matrix: From the output to the input, see `Geometric.matrix`.
            size: Of the output.
            exact: Whether output pixels are input pixels.
        """
        before = batch.size
        if exact:
            images = take(batch.images, matrix, size)
        else:
            images = warp(batch.images, matrix, size, "bilinear", self.fill, self.fill_value)
        moved = replace(batch, images=images)
        for task in self.masks:
            moved = self._with_mask(moved, task, before, matrix, size, exact)
        for task in self.boxes:
            moved = self._with_boxes(moved, task, before, matrix, size)
        return moved

    def _with_mask(self, batch: Batch, task: str, before: Size, matrix: tf.Tensor, size: Size, exact: bool) -> Batch:
        labels, weights = batch.labels[task], batch.weight(task)
        if labels.shape.rank not in (3, 4) or tuple(labels.shape[1:3]) != before:
            raise ValueError(
                message(
                    f"masks of task {task!r} at the size of the images, {before.height}x{before.width}",
                    "resize both alike",
                    shape=tuple(labels.shape),
                )
            )

        def moved(values: tf.Tensor) -> tf.Tensor:
            image = values[..., None] if values.shape.rank == 3 else values
            image = take(image, matrix, size) if exact else _nearest(image, matrix, size, self.fill)
            return image[..., 0] if values.shape.rank == 3 else image

        if weights.shape.rank == 1 and self.fill == "constant" and not exact:
            weights = tf.broadcast_to(weights[:, None, None], tf.shape(labels)[:3])  # outside, pixels have no label
        if weights.shape.rank > 1:
            weights = moved(weights)
        return batch.with_label(task, moved(labels), weights)

    def _with_boxes(self, batch: Batch, task: str, before: Size, matrix: tf.Tensor, size: Size) -> Batch:
        labels, weights = batch.labels[task], batch.weight(task)
        if labels.shape.rank != 3 or labels.shape[-1] != 4:
            raise ValueError(
                message(f"boxes [B, N, 4] of task {task!r}", "correct boxes=[...]", shape=tuple(labels.shape))
            )
        pixels = _convert(tf.cast(labels, tf.float32), self.box_format, "xyxy", before)
        found, inside = move_boxes(pixels, matrix, size)
        seen = (inside > 0.0) & (inside >= self.visible)
        while weights.shape.rank < 2:
            weights = weights[..., None]
        seen_weights = tf.cast(seen[..., None] if weights.shape.rank == 3 else seen, tf.float32)
        found = tf.where(seen[..., None], _convert(found, "xyxy", self.box_format, size), 0.0)
        return batch.with_label(task, tf.cast(found, labels.dtype), weights * seen_weights)


def _nearest(values: tf.Tensor, matrix: tf.Tensor, size: Size, fill: str) -> tf.Tensor:
    known = values if values.dtype in _WARPED else tf.cast(values, tf.int32)
    return tf.cast(warp(known, matrix, size, "nearest", fill), values.dtype)


def _convert(boxes: tf.Tensor, source: str, target: str, size: Size) -> Any:
    return keras.utils.bounding_boxes.convert_format(
        boxes, source=source, target=target, height=size.height, width=size.width, dtype="float32"
    )
