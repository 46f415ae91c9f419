"""`mtl-keras inspect`: what a saved model shares, and where it is cut."""

from pathlib import Path
from typing import Annotated

import typer


def inspect(path: Annotated[Path, typer.Argument(help="A .keras file.")]) -> None:
    """Show a model: tasks, shared and task parameters, the cut."""
    from rich.console import Console
    from rich.table import Table

    from mtl_keras.cli.loading import load
    from mtl_keras.models.partition import partition

    model = load(path)
    parts = partition(model)
    shared = sum(layer.count_params() for layer in parts.shared_layers)
    console = Console()
    console.print(f"{model.name}: {model.count_params():,} parameters, {shared:,} of them shared")
    cut = ", ".join(f"{n} {list(t.shape)}" for n, t in zip(parts.cut_names, parts.cut, strict=True))
    console.print(f"cut: {cut}", markup=False)
    heads = {task.name: task.head for task in getattr(model, "tasks", [])}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("task", "kind", "output", "own parameters"):
        table.add_column(column)
    for task, layers in parts.task_layers.items():
        own = sum(layer.count_params() for layer in layers)
        kind = heads[task].kind if heads.get(task) else "values"
        table.add_row(task, kind, str(list(model.output[task].shape)), f"{own:,}")
    console.print(table)
