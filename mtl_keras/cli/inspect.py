"""`mtl-keras inspect`: what is in a saved model or a CSV file."""

from pathlib import Path
from typing import Annotated

import typer

_OTHER_FILES = (".tflite", ".onnx", ".npz", ".h5", ".yaml", ".json")


def inspect(
    path: Annotated[Path, typer.Argument(help="A .keras file or a CSV file.")],
    root: Annotated[Path | None, typer.Option(help="CSV: folder of the images, default that of the file.")] = None,
    image: Annotated[str | None, typer.Option(help="CSV: column with the images, default the one with paths.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="CSV: PNG file for samples with their labels.")] = None,
    missing: Annotated[list[str] | None, typer.Option(help="CSV: a cell that means 'no label'; repeatable.")] = None,
    delimiter: Annotated[str, typer.Option(help="CSV: what stands between cells.")] = ",",
    encoding: Annotated[str, typer.Option(help="CSV: encoding of the file.")] = "utf-8",
    decode: Annotated[bool, typer.Option(help="CSV: decode every image, or only look at how it begins.")] = True,
) -> None:
    """Show a model (tasks, shared and task parameters, the cut), or a CSV file (columns, labels, images)."""
    if path.suffix == ".keras":
        from mtl_keras.cli.inspect_model import inspect_model

        inspect_model(path)
        return
    if path.is_dir() or path.suffix in _OTHER_FILES:
        from mtl_keras.errors import message

        raise ValueError(message("a .keras file or a CSV file", "choose one", path=str(path)))
    from mtl_keras.cli.inspect_table import inspect_table

    inspect_table(path, root, image, sheet, missing or [], delimiter, encoding, decode)
