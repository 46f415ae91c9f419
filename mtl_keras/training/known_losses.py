"""What labels Keras' own losses take, and which losses look at each example alone. Of all others nothing is known."""

from typing import Any

Shape = tuple[int | None, ...]

# labels that are neither class ids nor of the output's shape, or class ids under a name that does not say so
_OTHERS = ("ctc", "circle", "categoricalgeneralizedcrossentropy")
# Keras' losses that look at each example alone, hinges for one look at the whole batch; all that they are made with is
# in their configuration, as it is not for Huber's
_BY_EXAMPLE = (
    "meansquarederror",
    "meanabsoluteerror",
    "meanabsolutepercentageerror",
    "meansquaredlogarithmicerror",
    "logcosh",
    "poisson",
    "kldivergence",
    "binarycrossentropy",
    "binaryfocalcrossentropy",
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
    "sparsecategoricalcrossentropy",
)


def keras_name(loss: Any) -> str | None:
    """The name of one of Keras' own losses, object or function, without capitals and `_`; None for all others.

    Example:
        >>> import keras
        >>> keras_name(keras.losses.MeanSquaredError(name="mine")), keras_name(keras.losses.get("mse"))
        ('meansquarederror', 'meansquarederror')
    """
    named = loss if callable(loss) and hasattr(loss, "__name__") else type(loss)
    is_of_keras = named.__module__.partition(".")[0] == "keras"
    return named.__name__.replace("_", "").lower() if is_of_keras else None


def is_of_library(thing: Any) -> bool:
    """Whether a loss or a head is one of this library's, of which all settings are in its configuration."""
    return type(thing).__module__.partition(".")[0] == __name__.partition(".")[0]


def label_shapes(loss: Any, output: Shape) -> list[Shape] | None:
    """The shapes that one example's labels may have, given that of its output; None where nothing is known.

    Keras broadcasts labels of another shape, so that every label meets every value.

    Example:
        >>> import keras
        >>> label_shapes(keras.losses.get("sparse_categorical_crossentropy"), (5,))
        [(), (1,)]
        >>> label_shapes(keras.losses.MeanAbsoluteError(), (1,)), label_shapes(keras.losses.MeanAbsoluteError(), (3,))
        ([(), (1,)], [(3,)])
    """
    name = keras_name(loss)
    if name is None or name in _OTHERS or getattr(loss, "axis", -1) != -1 or not output:
        return None
    if name == "sparsecategoricalcrossentropy":
        return [output[:-1], (*output[:-1], 1)]
    return [output[:-1], output] if output[-1] == 1 else [output]


def is_yes_or_no(loss: Any) -> bool:
    """Whether labels are 1 and 0, or lie between."""
    return keras_name(loss) in ("binarycrossentropy", "binaryfocalcrossentropy")


def way_of(loss: Any) -> tuple | None:
    """What decides the values of a loss beside each example's own label and output: losses with equal ways are alike.

    None where nothing is known, as of losses of users, or where values depend on the whole batch.

    Example:
        >>> import keras
        >>> way_of(keras.losses.MeanSquaredError(name="a")) == way_of(keras.losses.MeanSquaredError(name="b"))
        True
        >>> way_of(keras.losses.BinaryCrossentropy()) == way_of(keras.losses.BinaryCrossentropy(label_smoothing=0.1))
        False
        >>> print(way_of(keras.losses.get("hinge")), way_of(lambda labels, predicted: 0.0))
        None None
    """
    if not is_of_library(loss) and (keras_name(loss) not in _BY_EXAMPLE or getattr(loss, "axis", -1) != -1):
        return None
    if not hasattr(loss, "get_config"):
        return (loss,)
    config = loss.get_config()
    return type(loss), {key: value for key, value in config.items() if key not in ("name", "reduction")}
