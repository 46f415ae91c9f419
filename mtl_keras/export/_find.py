"""From a path that a user names to the artefacts there and the manifest that belongs to them."""

from os import fspath
from pathlib import Path

from mtl_keras.errors import message
from mtl_keras.export._manifest import NAME, Manifest
from mtl_keras.export._metadata import read_metadata


def artefacts(path: Path) -> list[Path]:
    """What can be run at a path: itself, or everything in a version folder, the file to prefer first.

    Args:
        path: A .tflite, .keras or .onnx file, a SavedModel folder, a version folder or its manifest.json.

    Raises:
        ValueError: There is nothing, or nothing that can be run.
    """
    if not path.exists():
        raise ValueError(message("a folder or file that exists", "check the path", path=fspath(path)))
    if path.name == NAME:
        path = path.parent
    if path.is_file() or (path / "saved_model.pb").is_file():
        return [path]
    first = path / "model.tflite"
    others = [file for file in sorted(path.glob("*.tflite")) if file != first]
    models = [file for ending in ("keras", "onnx") for file in sorted(path.glob(f"*.{ending}"))]
    found = [file for file in (first, *others, path / "saved_model", *models) if file.exists()]
    if not found:
        versions = sorted(file.parent.name for file in path.glob(f"*/{NAME}"))
        if versions:
            raise ValueError(
                message("the folder of one version", "name one of the versions", path=fspath(path), versions=versions)
            )
        raise ValueError(
            message("a .tflite or .keras file or a saved_model folder in it", "export again", path=fspath(path))
        )
    return found


def manifest_of(artefact: Path) -> Manifest | None:
    """The manifest beside an artefact, if it lists it, or the one inside it.

    Raises:
        ValueError: The manifest cannot be used, or the artefact is not as it was exported.
    """
    beside = artefact.parent / NAME
    if beside.is_file():
        manifest = Manifest.read(beside)
        listed = [name for name in manifest.files if name.split("/")[0] == artefact.name]
        if listed:
            manifest.check_files(artefact.parent, listed)
            return manifest
    return read_metadata(artefact) if artefact.suffix in (".tflite", ".onnx") else None
