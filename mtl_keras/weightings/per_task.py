"""Numbers that a constructor takes for each task: one for all, a dict by task name, or a list in task order."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_keras.errors import message
from mtl_keras.weightings.checks import number

PerTask = float | Mapping[str, float] | Sequence[float]


def checked(name: str, value: Any, example: float, at_least: float = float("-inf")) -> Any:
    """`value` with every number in it finite and at least `at_least`; what it is for which task waits for `resolved`.

    Raises:
        ValueError: A number is not finite or too low.

    Example:
        >>> checked("ideal", {"age": 1, "gender": 2}, example=0.0)
        {'age': 1.0, 'gender': 2.0}
    """
    if isinstance(value, Mapping):
        return {task: number(f"{name}[{task!r}]", v, example, at_least) for task, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [number(f"{name}[{i}]", v, example, at_least) for i, v in enumerate(value)]
    return number(name, value, example, at_least)


def resolved(name: str, value: Any, tasks: Sequence[str]) -> list[float]:
    """One number for each of `tasks`, in their order.

    Raises:
        ValueError: A dict does not name exactly these tasks, or a list has another length.

    Example:
        >>> resolved("ideal", {"gender": 2.0, "age": 1.0}, ["age", "gender"])
        [1.0, 2.0]
    """
    tasks = list(tasks)
    if isinstance(value, Mapping):
        if set(value) != set(tasks):
            raise ValueError(
                message(f"{name} with one number for each of {tasks}", "name every task once", **{name: dict(value)})
            )
        return [value[task] for task in tasks]
    if isinstance(value, Sequence):
        if len(value) != len(tasks):
            raise ValueError(
                message(
                    f"{name} with one number for each of {tasks}",
                    "pass as many, or a dict by task name",
                    **{name: list(value)},
                )
            )
        return list(value)
    return [value] * len(tasks)


def checked_preference(value: Any) -> Any:
    """A preference: None (equal), a dict by task name or a list; numbers of at least 0, not all of them 0."""
    if value is None:
        return None
    if isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str)):
        numbers = checked("preference", value, example=1.0, at_least=0.0)
        if sum(numbers.values() if isinstance(numbers, dict) else numbers) > 0:
            return numbers
    raise ValueError(
        message(
            "a preference of at least 0 for each task, not all of them 0",
            'pass preference={"age": 1.0, "gender": 2.0}',
            preference=value,
        )
    )


def resolved_preference(value: Any, tasks: Sequence[str]) -> list[float]:
    """The preference of each task, scaled to sum 1; equal where `value` is None."""
    numbers = [1.0] * len(tasks) if value is None else resolved("preference", value, tasks)
    return [n / sum(numbers) for n in numbers]
