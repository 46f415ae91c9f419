"""What an optimizer remembers, each piece with a name that outlives the optimizer: part, variable, kind of memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Slot:
    """One variable of an optimizer.

    Attributes:
        part: Which part of it: "" for a plain optimizer, `"loss_scale"`, or the part of one that has several.
        kind: What is remembered, e.g. `"momentum"`, `"iteration"`, `"learning_rate"`.
        owner: Path of the trained variable that it belongs to; None where it belongs to the part as a whole.
        variable: The optimizer's variable.
    """

    part: str
    kind: str
    owner: str | None
    variable: keras.Variable


def optimizer_slots(optimizer: Any, trained: Sequence[keras.Variable]) -> list[Slot]:
    """Every variable of an optimizer, those of optimizers inside it included, in a fixed order.

    Keras names a variable of an optimizer after the trained variable that it belongs to; a test guards that it still
    does. (Of `Adafactor`, whose reduced moments have no such names, these count as the optimizer's own.)

    Args:
        optimizer: Any Keras optimizer, built or not.
        trained: The variables that it trains.
    """
    prefixes = {variable.path.replace("/", "_") + "_": variable for variable in trained}
    return [_slot(part, variable, prefixes) for part, variable in _variables(optimizer)]


def parts_of(optimizer: Any) -> dict[str, Any]:
    """The plain optimizers that do the work, by name: `{"": optimizer}` where there is but one."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return {"": optimizer}
    named = getattr(optimizer, "parts", None)
    return named if named is not None else {str(i): part for i, part in enumerate(optimizer.optimizers)}


def _variables(optimizer: Any) -> Iterator[tuple[str, keras.Variable]]:
    inside: set[int] = set()
    for part, plain in parts_of(optimizer).items():
        for variable in plain.variables:
            inside.add(id(variable))
            yield part, variable
    outer = getattr(optimizer, "inner_optimizer", None)
    for holder, part in ((outer, "several"), (optimizer, "several" if outer is None else "loss_scale")):
        for variable in [] if holder is None else holder.variables:
            if id(variable) not in inside:
                inside.add(id(variable))
                yield part, variable


def _slot(part: str, variable: keras.Variable, prefixes: dict[str, keras.Variable]) -> Slot:
    owners = [prefix for prefix in prefixes if variable.name.startswith(prefix)]
    if not owners:
        return Slot(part, variable.name, None, variable)
    prefix = max(owners, key=len)
    return Slot(part, variable.name.removeprefix(prefix), prefixes[prefix].path, variable)
