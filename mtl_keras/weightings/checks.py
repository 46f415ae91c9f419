"""Numbers given to constructors, checked where they arrive."""

import math
from numbers import Integral, Real
from typing import Any

from mtl_keras.errors import message


def number(name: str, value: Any, example: float, at_least: float = -math.inf, at_most: float = math.inf) -> float:
    """`value` as a float, if it is finite and between the bounds.

    Raises:
        ValueError: It is not; the message tells the bounds and proposes `example`.

    Example:
        >>> number("beta", 0.5, example=0.9, at_least=0, at_most=1)
        0.5
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        checked = float(value)
        if math.isfinite(checked) and at_least <= checked <= at_most:
            return checked
    raise ValueError(message(f"a finite number{_bounds(at_least, at_most)}", f"pass {name}={example}", **{name: value}))


def whole(name: str, value: Any, example: int, at_least: int = 0) -> int:
    """`value` as an int, if it is a whole number of at least `at_least`.

    Raises:
        ValueError: It is not; the message proposes `example`.

    Example:
        >>> whole("trim", 1, example=1)
        1
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= at_least:
        return int(value)
    raise ValueError(message(f"a whole number of at least {at_least}", f"pass {name}={example}", **{name: value}))


def gradient_size(size: int | None, method: str) -> int:
    """P, the number of shared parameters, for a method whose state is [K, P].

    Raises:
        ValueError: It was not given.
    """
    if size is None:
        raise ValueError(
            message(
                f"the number of shared parameters, which the state of {method} is as wide as",
                "pass bind(tasks, gradient_size=P)",
                gradient_size=size,
            )
        )
    return int(size)


def _bounds(at_least: float, at_most: float) -> str:
    if math.isfinite(at_least) and math.isfinite(at_most):
        return f" between {at_least} and {at_most}"
    if math.isfinite(at_least):
        return f" of at least {at_least}"
    return f" of at most {at_most}" if math.isfinite(at_most) else ""
