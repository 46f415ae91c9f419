"""What a file says of itself: its manifest, in a .tflite file as a zip archive behind the model.

Interpreters read the model's own bytes and stop there; `unzip -p model.tflite mtl_keras.json` reads the rest.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mtl_keras.errors import message
from mtl_keras.export._manifest import Manifest
from mtl_keras.export._seal import SIZE, sealed

KEY = "mtl_keras"
ENTRY = f"{KEY}.json"
_LARGEST = 1 << 24  # bytes; a foreign archive may unpack to anything


def about(manifest: Manifest, plain: Any, pixels: Mapping[str, Any] | None = None) -> Manifest:
    """What a file says of itself: its tasks, the inputs as they come, and nothing that changes between exports.

    Args:
        manifest: Describes the whole model.
        plain: The inference graph that is in the file.
        pixels: Inputs that come as pixels, and the steps that the file takes itself.
    """
    steps = pixels or {}
    tasks = {task: manifest.tasks[task] for task in plain.output}
    before = {name: done for name, done in manifest.preprocessing["before"].items() if name not in steps}
    inside = {
        **manifest.preprocessing["in_graph"],
        **({"pixels": {n: dict(s) for n, s in steps.items()}} if steps else {}),
    }
    inputs = {
        name: {**described, "dtype": "uint8" if name in steps else described["dtype"]}
        for name, described in manifest.inputs.items()
    }
    return replace(
        manifest,
        parameters=int(plain.count_params()),
        inputs=inputs,
        tasks=tasks,
        preprocessing={"before": before, "in_graph": inside},
        files={},
        parity={},
        commit=None,
        created="",
        signatures={"all_tasks": list(tasks), **{f"task_{name}": [name] for name in tasks}},
    )


def with_metadata(data: bytes, manifest: Manifest) -> bytes:
    """A .tflite file that holds its manifest, sealed."""
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as archive:
        # an entry made by hand has a fixed date: the same model gives the same bytes
        entry = zipfile.ZipInfo(ENTRY)
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, json.dumps(asdict(manifest), allow_nan=False))
        # an archive ends in its comment: the place for the seal, so that other tools see nothing odd
        archive.comment = bytes(SIZE)
    return sealed(file.getvalue()[:-SIZE])


def read_metadata(path: str | PathLike[str]) -> Manifest | None:
    """The manifest inside a .tflite or .onnx file: tasks, labels, thresholds, units, preprocessing, signatures.

    Args:
        path: A .tflite file from anywhere, or an .onnx file (needs onnxruntime).

    Returns:
        The manifest without `files` and `parity`, or None where the file holds none.

    Raises:
        ValueError: The file holds a manifest that is damaged or of another schema.

    Example:
        >>> import tempfile, keras, mtl_keras as mtl
        >>> tasks = [mtl.Task("colour", mtl.heads.Classifier(labels=["red", "green"]))]
        >>> model = mtl.build(keras.Input((8, 8, 3), name="image"), mtl.sharing.Hard(mtl.trunks.Conv((4,))), tasks)
        >>> path = tempfile.mkdtemp() + "/model.tflite"
        >>> errors = mtl.export.litert(model, path)
        >>> mtl.export.read_metadata(path).tasks["colour"]["labels"]
        ['red', 'green']
    """
    path = Path(path)
    if path.suffix == ".onnx":
        from mtl_keras.export._onnx_runtime import OnnxRuntime

        content = OnnxRuntime(path).metadata().get(KEY)
        return None if content is None else Manifest.parse(content, f"{fspath(path)}!{KEY}")
    try:
        if not zipfile.is_zipfile(path):
            return None
        with zipfile.ZipFile(path) as archive:
            if ENTRY not in archive.namelist():
                return None
            if archive.getinfo(ENTRY).file_size > _LARGEST:
                raise ValueError(f"more than {_LARGEST} bytes")
            text = archive.read(ENTRY).decode()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(
            message("a file whose metadata can be read", "export it again", path=fspath(path), error=str(error)[:200])
        ) from error
    return Manifest.parse(text, f"{fspath(path)}!{ENTRY}")
