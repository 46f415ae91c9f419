"""Small TFRecord files for tests."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image


def example(**features):
    """A serialized `tf.train.Example` of ints, floats, bytes or lists of them."""
    made = tf.train.Example()
    for name, values in features.items():
        values = list(values) if isinstance(values, (list, tuple, np.ndarray)) else [values]
        feature = made.features.feature[name]
        if not values:
            continue
        if isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        elif isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return made.SerializeToString(deterministic=True)  # the same damage in every run


def write(path, records, compression=""):
    """A TFRecord file."""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def numbered(count, first=0, **more):
    """Records with `x` (their number twice), `colour` (a text) and `size` (a float, missing in every fourth)."""
    return [
        example(
            x=[float(n), float(n)],
            colour=[b"red", b"green", b"blue"][n % 3],
            size=[] if n % 4 == 0 else [n * 0.5],
            **more,
        )
        for n in range(first, first + count)
    ]


def jpeg(height, width, grey=100):
    """The bytes of a JPEG file."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (grey, grey, grey)).save(file, "JPEG")
    return file.getvalue()
