"""The one form of every error message: what was expected, what came, what to do."""

from typing import Any


def message(expected: str, do: str, **received: Any) -> str:
    """Build "Expected .... Received: name=value. Do ...."

    Args:
        expected: What would have been right, without the word "Expected" and the full stop.
        do: What the reader should do next, without the word "Do" and the full stop.
        **received: The offending names and values, shown with `repr`.

    Returns:
        The message as one line of text.

    Example:
        >>> message("a positive number", "pass c=0.4", c=-1)
        'Expected a positive number. Received: c=-1. Do pass c=0.4.'
    """
    values = ", ".join(f"{name}={value!r}" for name, value in received.items())
    return f"Expected {expected}. Received: {values}. Do {do}."
