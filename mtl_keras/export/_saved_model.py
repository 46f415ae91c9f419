"""SavedModel: for TensorFlow Serving and for conversion."""

from os import PathLike, fspath
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.export._atomic import appearing
from mtl_keras.export._inference_graph import inference_graph, task_graph
from mtl_keras.export._parity import TOLERANCE, example_inputs, parity

ALL_TASKS = "all_tasks"


def saved_model(
    model: keras.Model,
    path: str | PathLike[str],
    inputs: dict[str, np.ndarray] | None = None,
    tolerance: float = TOLERANCE,
) -> dict[str, float]:
    """Write a SavedModel, run it and compare it with the model; it needs neither Keras nor this library to run.

    Signatures: `serving_default` and `all_tasks` give every output by task name, `task_<name>` computes one task only.
    The batch size is free.

    Args:
        model: A functional model with dict outputs.
        path: A folder that does not exist; for TensorFlow Serving `<name>/<version>/`.
        inputs: `{input name: batch}` to compare on; random ones by default.
        tolerance: Largest error allowed, default 1e-5, see `parity`.

    Returns:
        `{task: largest error}`.

    Raises:
        ValueError: The path exists, the outputs are no dict, or an output differs by more than the tolerance.

    Example:
        >>> import tempfile, keras
        >>> x = keras.Input((4,), name="x")
        >>> model = keras.Model(x, {"a": keras.layers.Dense(2)(x)})
        >>> errors = saved_model(model, tempfile.mkdtemp() + "/model/1")
        >>> max(errors.values()) <= 1e-5
        True
    """
    plain = inference_graph(model)
    with appearing(path) as unfinished:
        write_saved_model(plain, unfinished, batch_size=None, default=True)
        return parity(plain, unfinished, inputs or example_inputs(plain), tolerance)


def write_saved_model(
    plain: keras.Model, path: str | PathLike[str], batch_size: int | None, default: bool, tasks: list[str] | None = None
) -> None:
    """Write an inference graph as a SavedModel with named signatures.

    Never with an endpoint called "serve": LiteRT's converter drops every other signature beside it.
    """
    names = list(plain.output) if tasks is None else tasks
    chosen = keras.Model(plain.input, {name: plain.output[name] for name in names})
    module = tf.Module()
    module.weights = [variable.value for variable in chosen.variables]
    signatures = {ALL_TASKS: _endpoint(chosen, batch_size)}
    signatures |= {f"task_{name}": _endpoint(task_graph(chosen, name), batch_size) for name in names}
    if default:
        signatures["serving_default"] = signatures[ALL_TASKS]
    module.signatures_by_name = dict(signatures)
    tf.saved_model.save(module, fspath(path), signatures=signatures)


def _endpoint(graph: keras.Model, batch_size: int | None) -> Any:
    names = [tensor.name for tensor in graph.inputs]
    specs = [tf.TensorSpec((batch_size, *t.shape[1:]), t.dtype, name=t.name) for t in graph.inputs]

    @tf.function(input_signature=specs)
    def run(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        by_name = dict(zip(names, inputs, strict=True))
        structure = keras.tree.map_structure(lambda tensor: by_name[tensor.name], graph.input)
        return graph(structure, training=False)

    return run
