"""Where `fit` begins: at the start, or where a callback says that an earlier run had come to."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from mtl_keras.errors import message


@dataclass(frozen=True)
class FitCall:
    """What `fit` was called with, as far as taking up a run needs it.

    Attributes:
        x, validation_data: As in `fit`.
        epochs: How many there are to be in all.
        batch_size, steps_per_epoch: As in `fit`, None where not given.
        callbacks: All others, in the order in which they are called.
    """

    x: Any
    validation_data: Any
    epochs: int
    batch_size: int | None
    steps_per_epoch: int | None
    callbacks: list[keras.callbacks.Callback]


class Continuation(keras.callbacks.Callback):
    """A callback that takes up earlier runs. `fit` asks it before training, and calls it after all others."""

    def take_up(self, model: Any, call: FitCall) -> dict[str, Any]:
        """Prepare to go on with what was saved; returns arguments of `fit` that change, such as `initial_epoch`."""
        raise NotImplementedError

    def let_go(self) -> None:
        """Called when `fit` ends, whichever way."""


@contextmanager
def continued(model: Any, arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments that Keras' `fit` is to be called with, given those on their way to it."""
    callbacks = arguments["callbacks"]
    listed = [] if isinstance(callbacks, keras.callbacks.CallbackList) else callbacks
    found = [callback for callback in listed if isinstance(callback, Continuation)]
    if not found:
        yield dict(arguments)
        return
    if len(found) > 1 or arguments.get("initial_epoch"):
        raise ValueError(
            message(
                "one callback that says with which epoch to begin",
                "pass Resume alone, without initial_epoch",
                callbacks=[type(callback).__name__ for callback in found],
                initial_epoch=arguments.get("initial_epoch", 0),
            )
        )
    (last,) = found
    others = [callback for callback in listed if callback is not last]
    if not any(isinstance(callback, keras.callbacks.History) for callback in others):
        others.append(keras.callbacks.History())  # before the one that saves it
    call = FitCall(
        arguments["x"],
        arguments["validation_data"],
        arguments["epochs"],
        arguments["batch_size"],
        arguments.get("steps_per_epoch"),
        others,
    )
    try:
        yield {**arguments, "callbacks": [*others, last], **last.take_up(model, call)}
    finally:
        last.let_go()
