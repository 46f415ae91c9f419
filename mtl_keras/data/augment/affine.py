"""Affine maps of the plane, one per example, and what they do to images, masks and boxes.

A matrix takes points of the output to points of the input (see `Geometric.matrix`), in continuous coordinates where
pixel (i, j) covers x from j to j + 1 and y from i to i + 1. The centre of the first pixel is at (0.5, 0.5), and a box
that covers the whole image goes from (0, 0) to (width, height).
"""

from collections.abc import Sequence

import tensorflow as tf

from mtl_keras.data.augment.base import Size

# the half pixel between the corner of a pixel, where coordinates count from, and its centre, where it is sampled
_TO_CENTRE = [[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]]
_TO_CORNER = [[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]]


def matrices(rows: Sequence[Sequence[tf.Tensor]]) -> tf.Tensor:
    """Two rows of three [B] tensors each as affine matrices [B, 3, 3]."""
    top = tf.stack([tf.stack(row, axis=-1) for row in rows], axis=1)
    last = tf.broadcast_to(tf.constant([[[0.0, 0.0, 1.0]]]), [tf.shape(top)[0], 1, 3])
    return tf.concat([top, last], axis=1)


def about_centre(linear: tf.Tensor, size: Size) -> tf.Tensor:
    """Matrices [B, 3, 3] that act about the image's centre instead of its corner."""
    centre = tf.constant([[1.0, 0.0, size.width / 2], [0.0, 1.0, size.height / 2], [0.0, 0.0, 1.0]])
    back = tf.constant([[1.0, 0.0, -size.width / 2], [0.0, 1.0, -size.height / 2], [0.0, 0.0, 1.0]])
    return tf.matmul(tf.matmul(centre, linear), back)


def take(images: tf.Tensor, matrix: tf.Tensor, size: Size) -> tf.Tensor:
    """The output of maps that only mirror and shift by whole pixels, inside the image: exact, whatever the dtype.

    Args:
        images: [B, H, W, C].
        matrix: Float32 [B, 3, 3], diagonal but for the shift.
        size: Of the output.
    """
    places = tf.matmul(tf.matmul(_TO_CORNER, matrix), _TO_CENTRE)
    rows = places[:, 1, 1, None] * tf.range(size.height, dtype=tf.float32) + places[:, 1, 2, None]
    columns = places[:, 0, 0, None] * tf.range(size.width, dtype=tf.float32) + places[:, 0, 2, None]
    chosen = tf.gather(images, tf.cast(tf.round(rows), tf.int32), axis=1, batch_dims=1)
    chosen = tf.gather(chosen, tf.cast(tf.round(columns), tf.int32), axis=2, batch_dims=1)
    chosen.set_shape([images.shape[0], size.height, size.width, images.shape[-1]])
    return chosen


def warp(
    images: tf.Tensor, matrix: tf.Tensor, size: Size, interpolation: str, fill_mode: str, fill_value: float = 0.0
) -> tf.Tensor:
    """The output of any affine map, in one resampling.

    Args:
        images: [B, H, W, C] of a dtype that `tf.raw_ops.ImageProjectiveTransformV3` knows.
        matrix: Float32 [B, 3, 3].
        size: Of the output.
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode: `"constant"`, `"reflect"` or `"nearest"`: what lies outside the image.
        fill_value: For `"constant"`.
    """
    places = tf.matmul(tf.matmul(_TO_CORNER, matrix), _TO_CENTRE)
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.reshape(places, [-1, 9])[:, :8],
        output_shape=[size.height, size.width],
        interpolation=interpolation.upper(),
        fill_mode=fill_mode.upper(),
        fill_value=fill_value,
    )
    warped.set_shape([images.shape[0], size.height, size.width, images.shape[-1]])
    return warped


def move_boxes(boxes: tf.Tensor, matrix: tf.Tensor, size: Size) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes where the map puts them: the smallest upright box around the moved corners, cut at the image's edge.

    Args:
        boxes: Float32 [B, N, 4], (x1, y1, x2, y2) in pixels of the input.
        matrix: Float32 [B, 3, 3].
        size: Of the output.

    Returns:
        Boxes [B, N, 4] in pixels of the output, and which share of each moved box lies inside the image, [B, N].
    """
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    one = tf.ones_like(x1)
    corners = tf.stack([tf.stack([x, y, one], -1) for x, y in ((x1, y1), (x2, y1), (x1, y2), (x2, y2))], axis=2)
    moved = tf.einsum("bij,bnkj->bnki", tf.linalg.inv(matrix), corners)
    lowest, highest = tf.reduce_min(moved[..., :2], axis=2), tf.reduce_max(moved[..., :2], axis=2)
    edge = tf.constant([size.width, size.height], tf.float32)
    low, high = tf.clip_by_value(lowest, 0.0, edge), tf.clip_by_value(highest, 0.0, edge)
    area = tf.reduce_prod(highest - lowest, axis=-1)
    inside = tf.math.divide_no_nan(tf.reduce_prod(high - low, axis=-1), area)
    return tf.concat([low, high], axis=-1), inside
