"""ONNX: for servers and devices that run onnxruntime. Needs the extra `onnx`."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike, fspath
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.export._atomic import appearing
from mtl_keras.export._extras import needs
from mtl_keras.export._inference_graph import checked_tasks, inference_graph, task_graph
from mtl_keras.export._manifest import Manifest
from mtl_keras.export._metadata import KEY, about
from mtl_keras.export._parity import TOLERANCE, parity
from mtl_keras.quiet import quiet_stderr


def onnx(
    model: keras.Model,
    path: str | PathLike[str],
    tasks: Sequence[str] | None = None,
    inputs: Any = None,
    tolerance: float = TOLERANCE,
    before: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Write an .onnx file, run it with onnxruntime and compare it with the model by name.

    ONNX knows one graph and no signatures: the file computes all its tasks; ask onnxruntime for some outputs only, and
    it leaves out what they do not need. The batch size is free. Tasks, labels and preprocessing are in the file's
    metadata, see `read_metadata`.

    Args:
        model: A functional model with dict outputs, any precision; the file computes in float32.
        path: A file that does not exist, `.onnx`.
        tasks: The tasks to keep, default all.
        inputs: What to compare on: `{input name: batch}`, or a batch for a model with one input; default 4 random
            examples.
        tolerance: Largest error allowed, default 1e-5, see `parity`.
        before: What a caller does to the inputs, as for `Manifest.of`.

    Returns:
        `{task: largest error}`.

    Raises:
        ValueError: A package is missing, the path exists or has another ending, an operation has no ONNX form, or an
            output differs by more than the tolerance. There is nothing at `path` then.
    """
    needs("onnx", "onnx", "tf2onnx", "onnxruntime")
    if not fspath(path).endswith(".onnx"):
        raise ValueError(message("a path that ends in .onnx", "rename it", path=fspath(path)))
    plain = inference_graph(model)
    if tasks is not None:
        plain = task_graph(plain, *checked_tasks(tasks, list(plain.output)))
    described = about(Manifest.of(model, before), plain)
    with appearing(path) as unfinished:
        _write(plain, fspath(unfinished))
        _describe(fspath(unfinished), described)
        return parity(plain, unfinished, inputs, tolerance)


def _write(plain: keras.Model, path: str) -> None:
    signature = keras.tree.map_structure(
        lambda tensor: keras.InputSpec(shape=tensor.shape, dtype=tensor.dtype, name=tensor.name), plain.input
    )
    try:
        with quiet_stderr(), warnings.catch_warnings():
            # Keras gives tf2onnx a name that NumPy took away, and NumPy warns that it may come back
            warnings.filterwarnings("ignore", message="In the future `np.object`", category=FutureWarning)
            plain.export(path, format="onnx", verbose=False, input_signature=[signature])
    # tf2onnx raises whatever it meets
    except Exception as error:
        raise ValueError(
            message("a graph that tf2onnx takes", "find the layer with onnx(tasks=[...])", error=str(error)[:300])
        ) from error


def _describe(path: str, manifest: Manifest) -> None:
    import onnx as library

    content = library.load(path)
    library.helper.set_model_props(content, {KEY: json.dumps(asdict(manifest), allow_nan=False)})
    library.save(content, path)
