"""Errors raised inside compiled code, in the words of this library."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

_FROM_PYTHON = re.compile(r"ValueError: (Expected .*?\. Do .*?\.)\nTraceback", re.DOTALL)
_PART = re.compile(r"\[(.*?)\](?= \[|$|\n)", re.DOTALL)


def assert_in_graph(condition: tf.Tensor, *parts: Any) -> tf.Operation | None:
    """An assertion whose message is its parts in a row, strings and tensors; begins with "Expected".

    XLA leaves assertions out, but compiles what the parts are made by: it knows no operations on strings.
    """
    return tf.debugging.Assert(condition, [tf.convert_to_tensor(part) for part in parts], summarize=100)


@contextmanager
def readable(*data: Any) -> Iterator[None]:
    """Turn an error of the graph into a ValueError that says what is wrong, where that is known.

    That is the message of a failed assertion of `assert_in_graph` or of a check inside a generator, or what the data
    that are read say to it: those of `mtl_keras.data` have a method `explain(error)` that names the example.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"assertion failed: (\[Expected .*)", error.message, re.DOTALL)
        if found is not None:
            line = found.group(1).split("\n")[0]
            raise ValueError("".join(_PART.findall(line)).replace("\\'", "'")) from error
        raised = _FROM_PYTHON.search(error.message)
        if raised is not None:
            raise ValueError(raised[1]) from error
        for explain in [part.explain for part in data if hasattr(part, "explain")]:
            text = explain(error.message)
            if text is not None:
                raise ValueError(text) from error
        raise


@contextmanager
def quiet_about_unknown_length(steps: int | None) -> Iterator[None]:
    """Keras warns at the end of every dataset of unknown length; an epoch without data is an error in this library.

    Args:
        steps: How many the caller asked for: of fewer the warning is right.
    """
    if steps is not None:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your input ran out of data", category=UserWarning)
        yield
