"""`mtl-keras predict`: what an exported model says of image files."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    model: Annotated[Path, typer.Argument(help="A version folder, a .tflite or .keras file or a SavedModel folder.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    task: Annotated[str | None, typer.Option(help="Compute this task only.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the LiteRT interpreter.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run an exported model on image files: every task's answer with its score."""
    import json

    from mtl_keras.export import Predictor, as_plain

    answers = Predictor(model, task, top, threads).predict([str(image) for image in images])
    if as_json:
        rows = [
            {"file": str(image), "answers": {name: as_plain(result) for name, result in answer.items()}}
            for image, answer in zip(images, answers, strict=True)
        ]
        print(json.dumps(rows, ensure_ascii=False))
        return
    from mtl_keras.cli.tables import print_table

    print_table(
        ("file", "task", "answer", "score", "others"),
        [
            (str(image), name, *_cells(result))
            for image, answer in zip(images, answers, strict=True)
            for name, result in answer.items()
        ],
    )


def _cells(result: object) -> tuple[str, str, str]:
    """Answer, score and what else there is to say, by kind of result."""
    from mtl_keras.export import ClassResult, LabelsResult, ValueResult

    if isinstance(result, ClassResult):
        return result.label, f"{result.score:.1%}", _scored(result.top[1:])
    if isinstance(result, LabelsResult):
        chosen = [(label, result.scores[label]) for label in result.labels]
        others = [(label, score) for label, score in result.scores.items() if label not in result.labels]
        return _scored(chosen) or "none", "", _scored(others)
    if isinstance(result, ValueResult):
        many = isinstance(result.value, list)
        pairs = zip(result.value, result.unit, strict=True) if many else [(result.value, result.unit)]  # type: ignore[arg-type]
        return ", ".join(f"{value:.4g} {unit}".rstrip() for value, unit in pairs), "", ""
    values = result.values  # type: ignore[attr-defined]
    return (
        f"values of shape {list(values.shape)}",
        "",
        f"{values.min():.4g} to {values.max():.4g}" if values.size else "",
    )


def _scored(pairs: list[tuple[str, float]]) -> str:
    return ", ".join(f"{label} {score:.1%}" for label, score in pairs)
