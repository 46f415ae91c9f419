"""`mtl-keras list`: what there is to choose from."""

import enum
from typing import Annotated

import typer


class Kind(enum.StrEnum):
    """The registries that can be listed."""

    weightings = "weightings"
    heads = "heads"
    trunks = "trunks"
    sharing = "sharing"


def list_(kind: Annotated[Kind, typer.Argument(help="Which of them.")]) -> None:
    """List the weightings, heads, trunks or sharings there are."""
    import importlib

    from rich.console import Console
    from rich.table import Table

    registry = importlib.import_module(f"mtl_keras.{kind.value}.base").registry
    importlib.import_module(f"mtl_keras.{kind.value}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = _weightings(registry) if kind is Kind.weightings else _others(registry)
    for column in rows[0]:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)


def _others(registry: object) -> list[list[str]]:
    rows = [["name", "class", "what it is"]]
    for name in registry.names():  # type: ignore[attr-defined]
        cls = registry.cls(name)  # type: ignore[attr-defined]
        rows.append([name, cls.__name__, (cls.__doc__ or "").split("\n")[0]])
    return rows


def _weightings(registry: object) -> list[list[str]]:
    rows = [["name", "reads", "state per task", "cost of a step", "paper"]]
    for name in registry.names():  # type: ignore[attr-defined]
        method = registry.get(name)  # type: ignore[attr-defined]
        rows.append([name, method.reads, _state(method), method.cost, method.paper])
    return rows


def _state(method: object) -> str:
    """What the method keeps between steps, as it is for five tasks and a hundred shared parameters."""
    tasks, size = 5, 100
    method.bind(tasks, gradient_size=size)  # type: ignore[attr-defined]
    letters = {tasks: "K", size: "P"}
    shapes = ["×".join(letters.get(side, str(side)) for side in v.shape) or "1" for v in method.variables]  # type: ignore[attr-defined]
    counted = {shape: shapes.count(shape) for shape in dict.fromkeys(shapes)}
    return " + ".join(f"{count}·{shape}" if count > 1 else shape for shape, count in counted.items()) or "none"
