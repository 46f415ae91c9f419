"""Which variables tasks share, which belong to one task, and the cut between: found from the graph.

A call found on the way to two or more tasks is shared; the cut is every tensor that a task's own call takes from a
shared one (several tensors where heads leave at different depths, or experts feed gates).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.graph import Graph, behind, trace


@dataclass(frozen=True)
class Partition:
    """The two halves of a multi-task graph.

    Attributes:
        trunk: Model from the inputs to the list of cut tensors.
        heads: Model from the cut tensors to `{task: output}`.
        graph: The calls that the halves were found in.
        cut_names: For each cut tensor, the name of the operation that makes it.
        shared_layers: Layers with variables before the cut, in running order.
        task_layers: `{task: layers with variables behind the cut}`.
    """

    trunk: keras.Model
    heads: keras.Model
    graph: Graph
    cut_names: list[str]
    shared_layers: list[keras.layers.Layer]
    task_layers: dict[str, list[keras.layers.Layer]]

    @property
    def cut(self) -> list[Any]:
        """The tensors between the halves, in running order."""
        return list(self.trunk.outputs)

    @property
    def shared_variables(self) -> list[keras.Variable]:
        """Trainable variables before the cut."""
        return [v for layer in self.shared_layers for v in layer.trainable_variables]

    @property
    def task_variables(self) -> dict[str, list[keras.Variable]]:
        """Trainable variables behind the cut, each of exactly one task."""
        return {
            task: [v for layer in layers for v in layer.trainable_variables]
            for task, layers in self.task_layers.items()
        }

    @property
    def last_shared_variables(self) -> list[keras.Variable]:
        """Trainable variables of the last shared layer that has any."""
        trained = [layer.trainable_variables for layer in self.shared_layers if layer.trainable_variables]
        return list(trained[-1]) if trained else []


def partition(model: keras.Model, features: Sequence[str] | None = None, graph: Graph | None = None) -> Partition:
    """Split a functional model with dict outputs into what its tasks share and what they do not.

    Args:
        model: Any functional `keras.Model` whose outputs are a dict `{task: tensor}`.
        features: Names of the layers whose outputs are to be the cut; found from the graph by default.
        graph: The model's calls, where they are traced already.

    Returns:
        The partition. With a single task everything is that task's own and the cut is the model's inputs.

    Raises:
        ValueError: A task shares nothing with any other, or no clean cut exists (a layer with variables is used on both
            sides of it, or by two tasks behind it); the message names the layer or the task.

    Example:
        >>> import keras
        >>> x = keras.Input((4,)); h = keras.layers.Dense(3, name="trunk")(x)
        >>> outputs = {t: keras.layers.Dense(1, name=t)(h) for t in ("a", "b")}
        >>> parts = partition(keras.Model(x, outputs))
        >>> parts.cut_names, [v.path for v in parts.shared_variables]
        (['trunk'], ['trunk/kernel', 'trunk/bias'])
    """
    graph = graph or trace(model)
    maker = graph.maker()
    if features is not None:
        cut = [tensor for name in features for tensor in _made_by(graph, name)]
    elif len(graph.outputs) == 1:
        cut = list(graph.inputs)
    else:
        cut = _find_cut(graph)
    names = [maker[id(tensor)].operation.name if id(tensor) in maker else tensor.name for tensor in cut]
    trunk = keras.Model(model.input, cut)
    try:
        heads = keras.Model(cut, {task: behind(tensor, cut) for task, tensor in graph.outputs.items()})
    except ValueError as error:
        raise ValueError(message("outputs that depend on the inputs only through the cut", _HOW, cut=names)) from error
    return _checked(graph, trunk, heads, names)


_HOW = "pass features=[...] with the names of layers that together feed every head and come after every shared layer"


def check_sharing(graph: Graph, tasks: Sequence[str]) -> None:
    """Refuse a task that has nothing in common with any other output: no layer, wherever the two call it.

    Raises:
        ValueError: There is one; a model with a single output has none to share with.
    """
    _check_common({output: graph.used_by(output) for output in graph.outputs}, tasks)


def _check_common(used: Mapping[str, set[int]], tasks: Iterable[str]) -> None:
    for task in tasks if len(used) > 1 else ():
        if not any(used[task] & others for output, others in used.items() if output != task):
            raise ValueError(
                message(
                    "every task to depend on a layer that another task uses too",
                    "connect it to the trunk, or train it as a model of its own",
                    task=task,
                )
            )


def _find_cut(graph: Graph) -> list[Any]:
    needed = {task: graph.needed_for(task) for task in graph.outputs}
    users = [sum(index in calls for calls in needed.values()) for index in range(len(graph.calls))]
    _check_common(needed, needed)
    shared = {id(t) for call, count in zip(graph.calls, users, strict=True) if count > 1 for t in call.outputs}
    # a head may read the model's inputs too: those are on the shared side
    shared |= {id(t) for t in graph.inputs}
    taken = [t for call, count in zip(graph.calls, users, strict=True) if count == 1 for t in call.inputs]
    unique = {id(t): t for t in [*taken, *graph.outputs.values()] if id(t) in shared}
    return list(unique.values())


def _made_by(graph: Graph, name: str) -> list[Any]:
    for call in reversed(graph.calls):
        if call.operation.name == name:
            return call.outputs
    known = list(dict.fromkeys(call.operation.name for call in graph.calls))
    raise ValueError(message("names of layers of this model", f"choose among {known}", features=name))


def _checked(graph: Graph, trunk: keras.Model, heads: keras.Model, names: list[str]) -> Partition:
    """Give each layer with variables its one owner, or name the layer that has two."""
    owner: dict[int, str] = {id(layer): "the shared part" for layer in trunk.layers}
    task_layers: dict[str, list[keras.layers.Layer]] = {}
    for task, tensor in heads.output.items():
        task_layers[task] = []
        for layer in keras.Model(heads.inputs, tensor).layers:
            if not layer.variables:
                continue
            if id(layer) in owner:
                raise ValueError(
                    message(
                        "every layer to belong to the shared part or to one task "
                        f"({owner[id(layer)]} and task {task!r} both call this one)",
                        _HOW,
                        layer=layer.name,
                    )
                )
            task_layers[task].append(layer)
        owner |= {id(layer): f"task {task!r}" for layer in task_layers[task]}
    shared_layers = [layer for layer in trunk.layers if layer.variables]
    return Partition(trunk, heads, graph, names, shared_layers, task_layers)
