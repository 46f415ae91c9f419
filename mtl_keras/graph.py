"""The calls of a functional graph, read by public API: which operation was called on what, and made what.

Layers know only their first call (`layer.input`, `layer.output`), which is the wrong one for layers called several
times and for models used as layers. `keras.models.clone_model` runs a graph again and lets us watch every call; with
the identity as clone function the layers, and so the variables, stay the same.
"""

from dataclasses import dataclass
from typing import Any

import keras

from mtl_keras.errors import message


@dataclass(frozen=True)
class Call:
    """One call of one operation: the tensors it took and the tensors it made."""

    operation: Any
    inputs: list[Any]
    outputs: list[Any]


@dataclass(frozen=True)
class Graph:
    """A functional graph as its calls in running order.

    Attributes:
        inputs: The model's own input tensors.
        calls: Every call between inputs and outputs; each only reads inputs and what earlier calls made.
        outputs: `{name: tensor}` as made by those calls.
    """

    inputs: list[Any]
    calls: list[Call]
    outputs: dict[str, Any]

    def maker(self) -> dict[int, Call]:
        """The call that made each tensor, by the tensor's `id`; inputs are not in it."""
        return {id(tensor): call for call in self.calls for tensor in call.outputs}

    def needed_for(self, name: str) -> set[int]:
        """Indices into `calls` of all that the output `name` depends on."""
        made = {id(tensor): index for index, call in enumerate(self.calls) for tensor in call.outputs}
        needed: set[int] = set()
        waiting = [self.outputs[name]]
        while waiting:
            index = made.get(id(waiting.pop()))
            if index is not None and index not in needed:
                needed.add(index)
                waiting.extend(self.calls[index].inputs)
        return needed

    def used_by(self, name: str) -> set[int]:
        """The `id`s of all that the output `name` depends on: operations, and the variables in them.

        Models used as layers may hold the same layer and still be two operations.
        """
        operations = [self.calls[index].operation for index in self.needed_for(name)]
        return {id(part) for operation in operations for part in (operation, *getattr(operation, "variables", ()))}


def named_outputs(model: Any) -> dict[str, Any]:
    """The outputs of a functional model by name.

    Raises:
        ValueError: It is no such model, or its outputs are no dict.
    """
    try:
        outputs = model.output
    except AttributeError:
        raise ValueError(
            message(
                "a functional model with dict outputs", "build it as keras.Model(inputs, {'task': ...})", model=model
            )
        ) from None
    if not isinstance(outputs, dict):
        raise ValueError(
            message("a model with dict outputs", "build it with outputs={'task': ...}", outputs=type(outputs).__name__)
        )
    return outputs


def trace(model: keras.Model) -> Graph:
    """Run the graph of a functional model with dict outputs once more and write down every call."""
    outputs = dict(named_outputs(model))
    calls: list[Call] = []

    def watch(operation: Any, *args: Any, **kwargs: Any) -> Any:
        made = operation(*args, **kwargs)
        taken = [t for t in keras.tree.flatten((args, kwargs)) if keras.backend.is_keras_tensor(t)]
        calls.append(Call(operation, taken, keras.tree.flatten(made)))
        return made

    # a plain model: cloning calls the constructor of the model's own class
    plain = keras.Model(model.input, outputs)
    again = keras.models.clone_model(
        plain, input_tensors=model.input, clone_function=lambda layer: layer, call_function=watch
    )
    return Graph(list(model.inputs), calls, dict(again.output))


def behind(tensor: Any, cut: list[Any]) -> Any:
    """The tensor, with an identity behind it if it is a cut tensor: Keras cannot take a tensor in and out at once."""
    return keras.layers.Identity()(tensor) if any(tensor is other for other in cut) else tensor
