"""Whether, and after which epochs, a call of `fit` validates."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Validation:
    """What `fit` was told of validation.

    Attributes:
        has_data: Whether there are validation data.
        freq: `validation_freq` as in `fit`: every how many epochs, or after which, counted from 1.
        epochs: The epochs of the whole run, counted from 0.

    Example:
        >>> Validation(True, 5, range(4)).never, Validation(True, [1, 9], range(4)).never
        (True, False)
    """

    has_data: bool
    freq: int | Collection[int]
    epochs: range

    @property
    def never(self) -> bool:
        """Whether no epoch is validated although there are data, in a run that has epochs at all."""
        return self.has_data and len(self.epochs) > 0 and not any(self._is_due(epoch + 1) for epoch in self.epochs)

    def _is_due(self, epoch: int) -> bool:
        if isinstance(self.freq, int):
            return self.freq != 0 and epoch % self.freq == 0
        return epoch in self.freq
