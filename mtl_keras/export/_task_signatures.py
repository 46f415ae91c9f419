"""Signatures for single tasks, taken out of the graph for all of them after it was converted.

The converter could write several signatures itself, but it converts and calibrates the graph once for each, and where
signatures share weights its 16-bit quantization spoils the biases.
"""

import copy
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from mtl_keras.export._flatbuffer import signature, text
from mtl_keras.export._output_layers import BEFORE
from mtl_keras.export._runtimes import ALL_TASKS


def add_task_signatures(model: Any) -> None:
    """Add to a model with the signature `all_tasks` one `task_<name>` for each output, computing only that.

    Every signature takes all inputs; the weights are shared.

    Args:
        model: A `schema.ModelT`; changed.
    """
    whole = signature(model, ALL_TASKS)
    graph = model.subgraphs[whole.subgraphIndex]
    for output in whole.outputs:
        part, places = _part(graph, output.tensorIndex)
        part.name = key = f"task_{text(output.name)}"
        made = schema.SignatureDefT(
            inputs=[schema.TensorMapT(t.name, places[t.tensorIndex]) for t in whole.inputs],
            outputs=[schema.TensorMapT(output.name, places[output.tensorIndex])],
            signatureKey=key,
            subgraphIndex=len(model.subgraphs),
        )
        model.subgraphs.append(part)
        model.signatureDefs.append(made)


def append(model: Any, tail: Any) -> None:
    """Let a second graph read outputs of the first, by name, and put its outputs in their place.

    Args:
        model: A `schema.ModelT` with the signature `all_tasks`; changed.
        tail: The same, one subgraph; its inputs are called as the outputs of `model` that they read, and `__before`.
    """
    whole, last = signature(model, ALL_TASKS), signature(tail, ALL_TASKS)
    graph, added = model.subgraphs[whole.subgraphIndex], tail.subgraphs[last.subgraphIndex]
    codes = _joined_codes(model, tail)
    first_buffer = len(model.buffers) - 1  # buffer 0 is the empty one in every file
    model.buffers.extend(tail.buffers[1:])

    ends = {text(output.name): output for output in whole.outputs}
    places = {entry.tensorIndex: ends[text(entry.name).removesuffix(BEFORE)].tensorIndex for entry in last.inputs}
    for index, tensor in enumerate(added.tensors):
        if index not in places:
            places[index] = len(graph.tensors)
            tensor.buffer = tensor.buffer and tensor.buffer + first_buffer
            graph.tensors.append(tensor)
    for operator in added.operators:
        moved = _moved(operator, places)
        moved.opcodeIndex = codes[operator.opcodeIndex]
        graph.operators.append(moved)
    for output in last.outputs:
        ends[text(output.name)].tensorIndex = places[output.tensorIndex]
    graph.outputs = [output.tensorIndex for output in whole.outputs]


def _part(graph: Any, output: int) -> tuple[Any, dict[int, int]]:
    """What one output of a subgraph needs, and the new index of each tensor that stays."""
    needed, operators = {int(output)}, []
    for operator in reversed(graph.operators):
        makes = {int(index) for index in operator.outputs}
        if makes & needed or not makes:  # what makes nothing sets something up, e.g. a table
            operators.append(operator)
            needed |= makes | {int(index) for index in operator.inputs} | _intermediates(operator)
    needed |= {int(index) for index in graph.inputs}
    places = {old: new for new, old in enumerate(sorted(needed - {-1}))}
    part = schema.SubGraphT(
        tensors=[graph.tensors[old] for old in places],
        inputs=[places[int(index)] for index in graph.inputs],
        outputs=[places[int(output)]],
        operators=[_moved(operator, places) for operator in reversed(operators)],
    )
    return part, places


def _moved(operator: Any, places: dict[int, int]) -> Any:
    """The operator, reading and writing tensors at their new places."""
    moved = copy.copy(operator)
    everywhere = {**places, -1: -1}  # -1 stands for an input that is left out
    moved.inputs = [everywhere[int(index)] for index in operator.inputs]
    moved.outputs = [everywhere[int(index)] for index in operator.outputs]
    if operator.intermediates is not None:
        moved.intermediates = [everywhere[int(index)] for index in operator.intermediates]
    return moved


def _intermediates(operator: Any) -> set[int]:
    return set() if operator.intermediates is None else {int(index) for index in operator.intermediates}


def _joined_codes(model: Any, tail: Any) -> list[int]:
    """For each operator code of `tail` its index in `model`, which gets those that it lacks."""

    def identity(code: Any) -> tuple[Any, ...]:
        return code.builtinCode, code.deprecatedBuiltinCode, code.customCode, code.version

    known = [identity(code) for code in model.operatorCodes]
    for code in tail.operatorCodes:
        if identity(code) not in known:
            known.append(identity(code))
            model.operatorCodes.append(code)
    return [known.index(identity(code)) for code in tail.operatorCodes]
