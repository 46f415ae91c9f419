"""The graph that is shipped: plain Keras, float32, without what only training needs."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.export._fake_quant import baked, is_aware
from mtl_keras.graph import named_outputs
from mtl_keras.tasks import checked_names

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_OTHER_FLOATS = ("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")


def inference_graph(model: keras.Model, ranges: bool = False) -> keras.Model:
    """A plain functional model with the same inputs, outputs and weights, computing in float32.

    A model of another precision is rebuilt layer by layer in float32, since LiteRT has no float16 convolutions, and its
    weights, which mixed precision keeps in float32, are copied by layer name.

    Args:
        model: A functional model with dict outputs, any precision. Of a `quantization_aware` one the graph has the
            rounded weights.
        ranges: Whether its activations are rounded too, for a converter to read their ranges; default False.

    Raises:
        ValueError: The model is not functional, its outputs are no dict (lists lose their names in every format), or a
            name of an input or output is one that some format would change.

    Example:
        >>> import keras
        >>> x = keras.Input((4,), name="x")
        >>> half = keras.Model(x, {"a": keras.layers.Dense(2, dtype="mixed_float16")(x)})
        >>> half.output["a"].dtype, inference_graph(half).output["a"].dtype
        ('float16', 'float32')
    """
    outputs = named_outputs(model)
    checked_names(outputs)
    for tensor in model.inputs:
        if not _NAME.match(tensor.name):
            raise ValueError(
                message(
                    "an input name of letters, digits and '_' that begins with a letter",
                    "name it: keras.Input(..., name='image')",
                    name=tensor.name,
                )
            )
    plain = keras.Model(model.input, dict(outputs), name=model.name)
    if is_aware(plain):
        return baked(plain, ranges)
    configs = [layer.get_config() for layer in plain.layers]
    if configs == [_in_float32(config) for config in configs]:
        return plain
    with _float32_policy():
        rebuilt = keras.models.clone_model(plain, clone_function=_float32_layer, recursive=True)
    for layer in plain.layers:
        rebuilt.get_layer(layer.name).set_weights(layer.get_weights())
    return rebuilt


def task_graph(plain: keras.Model, *tasks: str) -> keras.Model:
    """The part of an inference graph that these tasks need, with all inputs."""
    return keras.Model(plain.input, {task: plain.output[task] for task in tasks})


def checked_tasks(tasks: Sequence[str], known: list[str]) -> list[str]:
    """The tasks to keep, if they are known, each once."""
    given = [tasks] if isinstance(tasks, str) else list(tasks)
    if not given or len(set(given)) != len(given) or not set(given) <= set(known):
        raise ValueError(message(f"tasks among {known}, each once", "correct the names", tasks=given))
    return given


@contextmanager
def _float32_policy() -> Iterator[None]:
    # layers that custom layers make inside themselves take the global policy
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def _float32_layer(layer: Any) -> Any:
    return type(layer).from_config(_in_float32(layer.get_config()))


def _in_float32(config: Any) -> Any:
    """A layer's config with every floating precision in it, those of wrapped layers too, set to float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy" and config["config"]["name"] in _OTHER_FLOATS:
            return {**config, "config": {"name": "float32"}}
        return {key: _in_float32(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_in_float32(value) for value in config)
    return config
