"""One picture with a bright rectangle, its mask and its box, and what is left of it after an augmentation."""

import numpy as np
import tensorflow as tf

HEIGHT, WIDTH = 48, 64
BOX = (10, 12, 30, 40)  # top, left, bottom, right in pixels, of an upright rectangle


def scene(batch=8):
    """Images uint8 [B, 48, 64, 3], masks int32 [B, 48, 64] and boxes [B, 2, 4] (the second one is padding)."""
    image = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.int32)
    top, left, bottom, right = BOX
    image[top:bottom, left:right] = 220
    mask[top:bottom, left:right] = 2
    boxes = np.array([[top / HEIGHT, left / WIDTH, bottom / HEIGHT, right / WIDTH], [0, 0, 0, 0]], np.float32)
    x = {"image": tf.constant(np.repeat(image[None], batch, 0))}
    y = {"mask": tf.constant(np.repeat(mask[None], batch, 0)), "boxes": tf.constant(np.repeat(boxes[None], batch, 0))}
    w = {"mask": tf.ones([batch]), "boxes": tf.constant([[1.0, 0.0]] * batch)}
    return x, y, w


def seeds(batch=8, key=3, first=0):
    """One seed per example."""
    return tf.stack([tf.fill([batch], tf.constant(key, tf.int64)), first + tf.range(batch, dtype=tf.int64)], axis=1)


def extent(mask):
    """Top, left, bottom and right of what is set, in pixels; None where nothing is."""
    rows, columns = np.where(mask)
    return None if not len(rows) else np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
