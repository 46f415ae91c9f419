"""Which example belongs to training, validation and test."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from mtl_keras.data.group_splits import divide_groups
from mtl_keras.errors import message

NAMES = ("train", "val", "test")
# other names of the splits that a column may use
_SYNONYMS = {"train": "train", "training": "train", "val": "val", "validation": "val", "valid": "val", "dev": "val"}
_SYNONYMS |= {"test": "test", "testing": "test"}


@dataclass(frozen=True)
class Splits:
    """How examples are divided into `train`, `val` and `test`.

    Either by a column that names the split of each example, or at random by share. The random split follows from the
    seed alone, on every machine.

    Args:
        val, test: Shares of the examples, from 0, together below 1, default 0.1 each.
        seed: Seed of the random split, default 0.
        column: Name of a column that holds `train`, `val` or `test`; the shares are unused then.
        group: Name of a column: examples that agree in it always come into the same split, e.g. a person or an object.
            Shares are of examples, reached as closely as whole groups allow; the largest groups are placed first.
        stratify: Name of a task with classes whose frequencies every split is to keep.

    Raises:
        ValueError: A share is out of range, or `column` comes with `group` or `stratify`.

    Example:
        >>> ids = Splits(val=0.25, test=0.25).assign(8)
        >>> [NAMES[i] for i in ids]
        ['train', 'train', 'test', 'train', 'test', 'val', 'val', 'train']
    """

    val: float = 0.1
    test: float = 0.1
    seed: int = 0
    column: str | None = None
    group: str | None = None
    stratify: str | None = None

    def __post_init__(self) -> None:
        shares = (self.val, self.test)
        if not all(isinstance(share, Real) and 0 <= share < 1 for share in shares) or sum(shares) >= 1:
            raise ValueError(
                message("shares from 0 that leave some for training", "correct them", val=self.val, test=self.test)
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise ValueError(message("a whole number from 0 as the seed of the splits", "correct it", seed=self.seed))
        if self.column is not None and (self.group is not None or self.stratify is not None):
            raise ValueError(
                message(
                    "either a column that names the split, or a random split by group and stratum",
                    "leave one out",
                    column=self.column,
                    group=self.group,
                    stratify=self.stratify,
                )
            )

    @classmethod
    def of(cls, stated: "Splits | None") -> "Splits":
        """What a user states, or the default.

        Raises:
            ValueError: It is neither `Splits` nor None.
        """
        if stated is not None and not isinstance(stated, Splits):
            raise ValueError(message("splits as Splits", "pass e.g. Splits(val=0.1, test=0.1)", splits=stated))
        return stated or cls()

    def assign(
        self, count: int, groups: Sequence[Any] | np.ndarray | None = None, strata: np.ndarray | None = None
    ) -> np.ndarray:
        """The random split of `count` examples.

        Args:
            count: How many examples.
            groups: What must stay together, [count], any values that can be compared for equality.
            strata: Class ids [count] whose frequencies are kept; -1 counts as a class of its own.

        Returns:
            int8 [count], index into `NAMES`.
        """
        if count == 0:
            return np.zeros(0, np.int8)
        strata = np.zeros(count, np.int64) if strata is None else np.asarray(strata, np.int64)
        if groups is not None:
            members = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
            order = self._order(int(members.max()) + 1)
            return divide_groups(members, strata, (1 - self.val - self.test, self.val, self.test), order)[members]
        order, ids = self._order(count), np.zeros(count, np.int8)
        for stratum in np.unique(strata):
            chosen = order[strata[order] == stratum]
            ids[chosen] = self._fill(len(chosen))
        return ids

    def _order(self, count: int) -> np.ndarray:
        return np.argsort(_hash(np.arange(count), self.seed), kind="stable")

    def _fill(self, count: int) -> np.ndarray:
        """The splits of so many examples, in order: test first, then val, each up to its share."""
        place = np.arange(count) + 0.5
        test, val = round(self.test * count), round((self.test + self.val) * count)
        return np.where(place < test, 2, np.where(place < val, 1, 0)).astype(np.int8)


def split_names(texts: Sequence[str]) -> np.ndarray:
    """int8 index into `NAMES` of what names a split in each text, `"validation"` and the like included; -1 for others.

    Example:
        >>> split_names(["train", " Validation", "TEST", "tset", ""]).tolist()
        [0, 1, 2, -1, -1]
    """
    ids = {name: NAMES.index(meaning) for name, meaning in _SYNONYMS.items()}
    return np.array([ids.get(text.strip().lower(), -1) for text in texts], np.int8)


def _hash(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Splitmix64 of the numbers: the same on every machine and with every version of NumPy."""
    with np.errstate(over="ignore"):
        z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = z + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
