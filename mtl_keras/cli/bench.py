"""`mtl-keras bench`: artefacts timed side by side."""

from pathlib import Path
from typing import Annotated

import typer


def bench(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help=".tflite or .keras files, SavedModel folders, or version folders."),
    ],
    threads: Annotated[list[int], typer.Option(help="Threads of the LiteRT interpreter; may be repeated.")] = [1],  # noqa: B006
    signature: Annotated[
        list[str] | None, typer.Option(help="Time this signature only, e.g. all_tasks; may be repeated.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds, after 5 to warm up.")] = 50,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples in a call, where the file leaves that free.")] = 1,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT=H,W,C", help="Sides of an input that the file leaves free; may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random inputs and of the order of the calls.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time exported models against each other: per file, signature and number of threads, in milliseconds."""
    import json
    from dataclasses import asdict

    from mtl_keras import export
    from mtl_keras.cli.tables import print_table

    shapes = dict(_shape(text) for text in shape or [])
    timings = export.bench(paths, threads, signature, rounds, batch_size, shapes, seed)
    if as_json:
        print(json.dumps([asdict(timing) for timing in timings]))
        return
    first = timings[0].median
    rows = [
        (
            timing.file,
            timing.signature,
            "TensorFlow's" if timing.threads is None else str(timing.threads),
            str(timing.batch),
            f"{timing.median:.3f}",
            f"{timing.p95:.3f}",
            f"{timing.median / first:.2f}",
            f"{timing.bytes:,}",
        )
        for timing in timings
    ]
    print_table(("file", "signature", "threads", "batch", "median ms", "p95 ms", "to first", "bytes"), rows)


def _shape(text: str) -> tuple[str, list[int]]:
    """`image=224,224,3` to `("image", [224, 224, 3])`."""
    from mtl_keras.errors import message

    name, _, sides = text.partition("=")
    numbers = sides.split(",") if sides else []
    if not name or not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise ValueError(message("--shape as INPUT=H,W,C in whole numbers", "write image=224,224,3", shape=text))
    return name, [int(number) for number in numbers]
