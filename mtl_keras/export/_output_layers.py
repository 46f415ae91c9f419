"""Cutting the output layers off a graph, so that they stay in float where the rest is quantized."""

from typing import Any

import keras

from mtl_keras.graph import trace

BEFORE = "__before"  # what the inputs of output layers add to the task's name


def cut_output_layers(plain: keras.Model) -> tuple[keras.Model, keras.Model | None]:
    """A graph without its output layers, and these as a graph of their own.

    Heads end in a layer without weights that makes probabilities or values in the user's units. Scaled into 8 bits, an
    age of 40 ± 10 years would be known to a quarter of a year at best, since the 256 steps begin at 0.

    Args:
        plain: An inference graph.

    Returns:
        The body, whose outputs bear the tasks' names but are what their last layers read, and the graph from inputs
        `<task>__before` to the real outputs. The second is None where no output ends in a layer without weights.
    """
    graph = trace(plain)
    made_by = graph.maker()
    body, ends, outputs = {}, {}, {}
    for task, tensor in graph.outputs.items():
        call = made_by.get(id(tensor))
        if call is None or not _is_cut_off(call, made_by):
            body[task] = tensor
            continue
        body[task] = before = call.inputs[0]
        ends[task] = keras.Input(batch_shape=before.shape, dtype=before.dtype, name=f"{task}{BEFORE}")
        outputs[task] = call.operation(ends[task])
    if not ends:
        return plain, None
    return keras.Model(plain.input, body, name=plain.name), keras.Model(
        list(ends.values()), outputs, name=f"{plain.name}_outputs"
    )


def _is_cut_off(call: Any, made_by: dict[int, Any]) -> bool:
    layer = call.operation
    return (
        isinstance(layer, keras.layers.Layer)
        and not isinstance(layer, keras.Model)
        and not layer.variables
        and len(call.inputs) == 1
        and len(call.outputs) == 1
        and id(call.inputs[0]) in made_by
    )
