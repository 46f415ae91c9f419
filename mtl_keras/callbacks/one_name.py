"""Variables that are made again and again without a trace in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf


@contextmanager
def variables_of_one_name() -> Iterator[None]:
    """Let all variables that are made meanwhile have one name in TensorFlow.

    TensorFlow keeps some 30 KiB for every new name of a variable as long as the process lives. Keras makes a new
    optimizer, `optimizer_1`, `optimizer_2`, ..., whenever it saves one, to see which attributes any optimizer has.
    """

    def create(make: Callable[..., Any], **kwargs: Any) -> Any:
        with tf.name_scope("made_while_saving/"):  # the stroke at the end leaves the scopes around it
            return make(**{**kwargs, "name": "variable"})

    with tf.variable_creator_scope(create):
        yield
