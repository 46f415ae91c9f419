"""Which tasks take part in training, and with which emphasis: variables, so that compiled steps see them change."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.errors import message


class Participation:
    """A number for each task that its loss is multiplied by before any method sees it; at 0 the task sits out.

    A task that sits out is like one without a label in the batch: its loss leaves the balance, and its head, its
    optimizer's memory and its part of the weighting's state stay as they are. Its loss and metrics are logged all the
    same.

    Args:
        names: All tasks of the model, in output order.

    Attributes:
        may_sit_out: Tasks that can come to sit out while a compiled step runs. Steps keep what these would have to
            return to, so it is to be set before the step is traced.
    """

    def __init__(self, names: Sequence[str]):
        self.names = list(names)
        self.may_sit_out: set[str] = set()
        self._taking_part = self._ones("taking_part")
        self._emphasis = self._ones("emphasis")

    def _ones(self, name: str) -> keras.Variable:
        return keras.Variable(
            np.ones(len(self.names), "float32"),
            trainable=False,
            dtype="float32",
            autocast=False,
            aggregation="only_first_replica",
            name=name,
        )

    @property
    def variables(self) -> dict[str, keras.Variable]:
        """The state by name."""
        return {variable.name: variable for variable in (self._taking_part, self._emphasis)}

    def factors(self, names: Sequence[str]) -> tf.Tensor:
        """What the losses of these tasks are multiplied by, float32 [K]."""
        both = tf.convert_to_tensor(self._taking_part.value) * tf.convert_to_tensor(self._emphasis.value)
        return both if list(names) == self.names else tf.gather(both, [self.names.index(name) for name in names])

    def reset(self, sitting_out: Iterable[str] = ()) -> None:
        """All tasks take part with emphasis 1, but for those that sit out."""
        self.sit_out(sitting_out)
        self._emphasis.assign(np.ones(len(self.names), "float32"))

    def sit_out(self, tasks: Iterable[str]) -> None:
        """From now on these tasks sit out, and no others."""
        left_out = list(tasks)
        self._taking_part.assign(np.array([name not in left_out for name in self.names], "float32"))

    def sitting_out(self) -> list[str]:
        """The tasks that sit out now."""
        taking_part = keras.ops.convert_to_numpy(self._taking_part)
        return [name for name, factor in zip(self.names, taking_part, strict=True) if factor == 0]

    def emphasize(self, emphasis: Mapping[str, float]) -> None:
        """Set what the losses of the named tasks are multiplied by; the others keep theirs.

        Raises:
            ValueError: A name is no task's, or a number is negative or not finite.
        """
        values = np.array(keras.ops.convert_to_numpy(self._emphasis))
        for name, value in emphasis.items():
            if name not in self.names:
                raise ValueError(message(f"a task among {self.names}", "correct the name", task=name))
            values[self.names.index(name)] = _checked(name, value)
        self._emphasis.assign(values)


def _checked(name: str, value: Any) -> float:
    number = float(value)
    if not np.isfinite(number) or number < 0:
        raise ValueError(message("finite task weights of at least 0", "correct it", **{name: value}))
    return number
