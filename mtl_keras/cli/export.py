"""`mtl-keras export`: from a saved model to a version folder."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    path: Annotated[Path, typer.Argument(help="A .keras file.")],
    out: Annotated[Path, typer.Option(help="Folder of the versions; the next free number is taken.")],
    scale: Annotated[
        float | None, typer.Option(help="What callers multiply whole-number pixels by, e.g. 0.00392.")
    ] = None,
    offset: Annotated[float | None, typer.Option(help="What callers add after that.")] = None,
) -> None:
    """Export a .keras model: SavedModel, LiteRT and manifest, each compared with the model."""
    from mtl_keras.cli.loading import load

    model = load(path)
    from mtl_keras.export import Manifest, write_version

    before = {key: value for key, value in (("scale", scale), ("offset", offset)) if value is not None}
    folder = write_version(model, out, before=before or None)
    for artefact, errors in Manifest.read(folder).parity.items():
        worst = ", ".join(f"{task} {error:.1e}" for task, error in errors.items())
        print(f"{artefact}: largest error against the Keras model: {worst}")
    print(f"Written to {folder}")
