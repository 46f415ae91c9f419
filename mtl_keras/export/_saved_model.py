"""SavedModel: for TensorFlow Serving and for conversion."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.export._atomic import appearing
from mtl_keras.export._image_bytes import IMAGE_BYTES, check_image_bytes, image_bytes_endpoint
from mtl_keras.export._inference_graph import inference_graph, task_graph
from mtl_keras.export._manifest import Manifest
from mtl_keras.export._parity import TOLERANCE, check_signatures, parity
from mtl_keras.export._runtimes import ALL_TASKS, SERVING, open_runtime
from mtl_keras.quiet import quiet_stderr


def saved_model(
    model: keras.Model,
    path: str | PathLike[str],
    inputs: Any = None,
    tolerance: float = TOLERANCE,
    image_bytes: Sequence[str] = (),
    before: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Write a SavedModel, run it and compare it with the model; it needs neither Keras nor this library to run.

    Signatures: `serving_default` and `all_tasks` give every output by task name, `task_<name>` computes one task only.
    Inputs are called as their `keras.Input`. The batch size is free.

    Args:
        model: A functional model with dict outputs, any precision; the file computes in float32.
        path: A folder that does not exist; for TensorFlow Serving `<name>/<version>/`.
        inputs: What to compare on: `{input name: batch}`, or a batch for a model with one input; default 4 random
            examples.
        tolerance: Largest error allowed, default 1e-5, see `parity`.
        image_bytes: Inputs for which a further signature, `image_bytes`, takes encoded images (string [B]: JPEG, PNG or
            GIF, upright and opaque), to decode, resize and scale in the graph as `before` says; default none.
        before: What happens to pixels before the model sees them, as for `Manifest.of`.

    Returns:
        `{task: largest error}`.

    Raises:
        ValueError: The path exists, the outputs are no dict, or an output differs by more than the tolerance. There is
            nothing at `path` then.

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
        signatures = {ALL_TASKS: endpoint(plain, batch_size=None)}
        signatures |= {f"task_{name}": endpoint(task_graph(plain, name), batch_size=None) for name in plain.output}
        signatures[SERVING] = signatures[ALL_TASKS]
        if image_bytes:
            steps = Manifest.of(model, before).preprocessing["before"]
            signatures[IMAGE_BYTES] = image_bytes_endpoint(plain, image_bytes, steps)
        write_signatures(unfinished, plain, signatures)
        if image_bytes:
            check_image_bytes(unfinished, plain, image_bytes, steps, tolerance)
        check_signatures(open_runtime(unfinished), list(plain.output), serving=True)
        return parity(plain, unfinished, inputs, tolerance)


def write_signatures(path: str | PathLike[str], plain: keras.Model, signatures: dict[str, Any]) -> None:
    """Write an inference graph as a SavedModel with these signatures.

    Never with one called "serve": LiteRT's converter drops every other signature beside it.
    """
    module = tf.Module()
    # Variables are listed as such: for those that it only finds inside Keras layers, LiteRT's converter wrote memory
    # that was never set.
    module.weights = [variable.value for variable in plain.variables]
    module.others = [layer for layer in plain.layers if not layer.variables]  # they may hold lookup tables
    with quiet_stderr():
        tf.saved_model.save(module, fspath(path), signatures=signatures)


def endpoint(graph: keras.Model, batch_size: int | None) -> Any:
    """A signature that computes a graph's outputs by name from inputs called as its `keras.Input`s."""
    names = [tensor.name for tensor in graph.inputs]
    specs = [tf.TensorSpec((batch_size, *t.shape[1:]), t.dtype, name=t.name) for t in graph.inputs]

    @tf.function(input_signature=specs)
    def run(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        by_name = dict(zip(names, inputs, strict=True))
        structure = keras.tree.map_structure(lambda tensor: by_name[tensor.name], graph.input)
        return graph(structure, training=False)

    return run
