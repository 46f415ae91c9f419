"""`mtl-keras demo-page`: a page that runs an exported model in the browser."""

from pathlib import Path
from typing import Annotated

import typer


def demo_page(
    model: Annotated[Path, typer.Argument(help="A version folder, or a .tflite file with its manifest beside it.")],
    out: Annotated[Path, typer.Option(help="Folder of the page; it must not exist.")] = Path("page"),
    samples: Annotated[
        list[Path] | None, typer.Option(help="An image to pick from, or a folder of them; may be repeated.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page, default the model's name.")] = None,
    litert: Annotated[
        Path | None,
        typer.Option(help="A node_modules folder with @litertjs/core; by default npm fetches it."),
    ] = None,
) -> None:
    """Write a static page where a person drops a picture and sees every task's answer."""
    from mtl_keras import export

    folder = export.demo_page(model, out, samples or [], title, litert)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"Written to {folder}: {size / 1e6:.1f} MB")
    print(f"Look at it: python -m http.server --directory {folder} 8000, then open http://localhost:8000")
