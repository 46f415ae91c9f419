"""Models used as layers, such as the stages of a pretrained trunk, laid out as the layers that they hold."""

from typing import Any

import keras


def without_nesting(model: keras.Model) -> keras.Model:
    """The graph of a functional model with dict outputs, on the same layers, none of which is a model.

    Where layers of two models share a name, the later model is copied, weights and all, and its layers get its name
    before theirs.

    Example:
        >>> import keras
        >>> trunk = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="inside")], name="trunk")
        >>> x = keras.Input((4,), name="x")
        >>> model = keras.Model(x, {"a": keras.layers.Dense(1, name="a")(trunk(x))})
        >>> [layer.name for layer in without_nesting(model).layers]
        ['x', 'inside', 'a']
    """
    while any(_is_nested(layer) for layer in model.layers):
        taken = {layer.name for layer in model.layers}
        plain = keras.Model(model.input, dict(model.output))
        again = keras.models.clone_model(
            plain,
            input_tensors=model.input,
            clone_function=lambda layer, taken=taken: _renamed(layer, taken) if _is_nested(layer) else layer,
            # `call` of a functional model calls its layers one by one, whatever the tensors are
            call_function=lambda layer, *a, **k: layer.call(*a, **k) if _is_nested(layer) else layer(*a, **k),
        )
        model = keras.Model(model.input, dict(again.output), name=model.name)
    return model


def _is_nested(layer: Any) -> bool:
    return isinstance(layer, keras.Model) and hasattr(layer, "outputs")


def _renamed(nested: keras.Model, taken: set[str]) -> keras.Model:
    """The nested model itself if none of its layers' names is taken, else a copy; takes the names."""
    inside = [layer for layer in nested.layers if not isinstance(layer, keras.layers.InputLayer)]
    names = {layer.name for layer in inside}
    if not names & taken:
        taken.update(names)
        return nested
    prefix = f"{nested.name}_"

    def copy(layer: Any) -> Any:
        made = type(layer).from_config({**layer.get_config(), "name": prefix + layer.name})
        copies.append((layer, made))
        return made

    copies: list[tuple[Any, Any]] = []
    again = keras.models.clone_model(nested, clone_function=copy)
    for layer, made in copies:
        made.set_weights(layer.get_weights())
    taken.update(layer.name for layer in again.layers)
    return again
