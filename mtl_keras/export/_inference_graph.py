"""The graph that is shipped: plain Keras, float32, without what only training needs."""

from typing import Any

import keras

from mtl_keras.errors import message


def inference_graph(model: keras.Model) -> keras.Model:
    """A plain functional model with the same inputs, outputs and weights, computing in float32.

    Args:
        model: A functional model with dict outputs, any precision.

    Raises:
        ValueError: The outputs are no dict: lists lose their names in every format.

    A mixed-precision model is rebuilt layer by layer in float32, since LiteRT has no float16 convolutions; its weights
    are float32 already.
    """
    outputs = model.output
    if not isinstance(outputs, dict):
        raise ValueError(
            message("a model with dict outputs", "build it with outputs={'task': ...}", outputs=type(outputs).__name__)
        )
    plain = keras.Model(model.input, dict(outputs), name=model.name)
    if all(layer.compute_dtype in ("float32", None) for layer in _flat(plain) if layer.variables):
        return plain
    rebuilt = keras.models.clone_model(plain, clone_function=_in_float32, recursive=True)
    rebuilt.set_weights(plain.get_weights())
    return rebuilt


def _flat(model: keras.Model) -> list[Any]:
    layers = []
    for layer in model.layers:
        layers += _flat(layer) if isinstance(layer, keras.Model) else [layer]
    return layers


def _in_float32(layer: Any) -> Any:
    config = layer.get_config()
    if "dtype" in config:
        config["dtype"] = "float32"
    return type(layer).from_config(config)


def task_graph(plain: keras.Model, task: str) -> keras.Model:
    """The part of an inference graph that one task needs."""
    return keras.Model(plain.input, {task: plain.output[task]})
