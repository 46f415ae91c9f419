"""Inputs that a model cannot take are named before training, also where a step was traced before."""

import itertools

import numpy as np
import tensorflow as tf
import tiny
from tiny import refused


def compiled():
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES)
    return model


def test_inputs_of_another_shape():
    """A step that is there already would run on them, up to a product of matrices somewhere within."""
    x, y = tiny.arrays(8)
    model = compiled()
    model.fit(x, y, verbose=0)
    for shape in ((9, 9, 1), (8, 8, 3), (8,), (2, 8, 8, 1)):
        wrong = np.zeros((8, *shape))
        for name, data in itertools.product(("fit", "evaluate"), ((wrong, y), (tiny.dataset(wrong, y),))):
            refused(
                lambda name=name, data=data: getattr(model, name)(*data, verbose=0),
                f"Expected input 'image' of shape (8, 8, 1) for each example. Received: shape={shape}. "
                "Do resize the inputs, or build the model for them.",
            )
    # Keras adds and takes away a last axis of length 1
    model.fit(x[..., 0], y, verbose=0)


def test_inputs_that_are_texts():
    _, y = tiny.arrays(8)
    model, texts = compiled(), np.array(["a.png"] * 8)
    for data, dtype in (((texts, y), "<U5"), ((texts.astype(object), y), "object"), ((tiny.dataset(texts, y),), None)):
        refused(
            lambda data=data: model.fit(*data, verbose=0),
            f"Expected numbers as input 'image'. Received: dtype={dtype or str(tf.string)!r}. "
            "Do turn them into numbers first.",
        )


def test_inputs_of_different_lengths():
    x, y = tiny.arrays(8)
    refused(
        lambda: compiled().fit({"image": x, "more": x[:3]}, y, verbose=0),
        "Expected as many examples in every input. Received: examples=[8, 3]. Do check the arrays.",
    )
