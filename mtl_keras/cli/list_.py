"""`mtl-keras list`: what there is to choose from."""

import enum
from typing import Annotated, Any

import typer

from mtl_keras.cli.tables import print_table
from mtl_keras.quiet import import_tensorflow

# attribute of a weighting that asks for something, and its name in the table
_NEEDS = {
    "second_forward": "second forward pass",
    "cross_gramian": "batches in two halves",
    "validation_batches": "weighting_data",
}


class Kind(enum.StrEnum):
    """The registries that can be listed."""

    weightings = "weightings"
    heads = "heads"
    trunks = "trunks"
    sharing = "sharing"


def list_(kind: Annotated[Kind, typer.Argument(help="Which of them.")]) -> None:
    """List the weightings, heads, trunks or sharings there are."""
    import importlib

    import_tensorflow()
    package = importlib.import_module(f"mtl_keras.{kind.value}")
    registry = importlib.import_module(f"{package.__name__}.base").registry
    if kind is Kind.weightings:
        columns = ["name", "needs", "state", "cost of a step", "paper"]
        methods = {name: registry.get(name) for name in registry.names()}
        print_table(columns, [[n, _needs(m), _state(m), m.cost, m.paper] for n, m in methods.items()])
        return
    classes = {name: registry.cls(name) for name in registry.names()}
    print_table(["name", "class", "what it is"], [[n, c.__name__, _first_line(c)] for n, c in classes.items()])


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").split("\n\n")[0].replace("\n    ", " ")


def _needs(method: Any) -> str:
    """What the step has to give the method; of a wrapper, what the method inside needs by default."""
    needs = [] if method.reads == "losses" else [method.reads.capitalize()]
    if method.positive_losses:
        needs.append("losses above 0")
    elif method.needs_losses:
        needs.append("losses")
    for attribute, need in _NEEDS.items():
        if getattr(method, attribute):
            needs.append(need)
    return ", ".join(needs)


def _state(method: Any) -> str:
    """Shapes of what the method keeps between steps, for K tasks and P shared parameters."""
    tasks, size = 5, 101
    letters = {tasks: "K", size: "P"}
    method.bind(tasks, gradient_size=size)
    shapes = ["×".join(letters.get(side, str(side)) for side in v.shape) or "1" for v in method.variables]
    counted = {shape: shapes.count(shape) for shape in dict.fromkeys(shapes)}
    return " + ".join(f"{count}·{shape}" if count > 1 else shape for shape, count in counted.items()) or "none"
