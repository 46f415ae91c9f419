"""Labels as they were read from a table, and how they become arrays once the training rows are known."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl_keras.data.kinds import ClassKind, LabelKind, MultiLabelKind, NumberKind
from mtl_keras.data.looks import as_number
from mtl_keras.errors import message


class LabelColumn(ABC):
    """The labels of one task as they were read, one for each row of the table.

    Args:
        place: Where they come from, for error messages: `{"file": ..., "column": ...}`.
    """

    def __init__(self, place: Mapping[str, Any]):
        self.place = dict(place)

    @property
    @abstractmethod
    def labelled(self) -> np.ndarray:
        """Which rows have a label, bool [N]."""

    @abstractmethod
    def chosen(self, keep: np.ndarray) -> "LabelColumn":
        """The rows where `keep`, a bool [N], says so."""

    @abstractmethod
    def fit(self, training: np.ndarray) -> tuple[LabelKind, np.ndarray, Counter[str]]:
        """Kind, labels [N, ...] and the labels that training has not seen, with how often they occur.

        Args:
            training: Which rows are used for training, bool [N].
        """

    @property
    def strata(self) -> np.ndarray | None:
        """Class ids [N], -1 where missing, for kinds that have classes."""
        return None


class ClassColumn(LabelColumn):
    """One of several texts; `codes` index into `texts`, -1 where missing."""

    def __init__(
        self,
        place: Mapping[str, Any],
        kind: type[ClassKind],
        texts: Sequence[str],
        codes: np.ndarray,
        names: tuple[str, ...] | None,
    ):
        super().__init__(place)
        self.kind, self.texts, self.codes, self.names = kind, texts, codes, names

    @property
    def labelled(self) -> np.ndarray:
        return np.asarray(self.codes >= 0)

    def chosen(self, keep: np.ndarray) -> LabelColumn:
        return ClassColumn(self.place, self.kind, self.texts, self.codes[keep], self.names)

    def fit(self, training: np.ndarray) -> tuple[LabelKind, np.ndarray, Counter[str]]:
        if self.names is not None:
            names: Sequence[str] = self.names
        else:
            seen = np.unique(self.codes[training & (self.codes >= 0)])
            names = _in_order([self.texts[code] for code in seen])
            if len(names) < 2:
                expected = "at least two different labels in the training split"
                raise ValueError(message(expected, "leave the task out, or add examples", **self.place, labels=names))
        ids = {name: index for index, name in enumerate(names)}
        id_of = np.array([*(ids.get(text, -2) for text in self.texts), -1], np.int32)
        labels = id_of[self.codes]  # code -1 takes the last entry
        unseen = Counter(self.texts[code] for code in self.codes[labels == -2].tolist())
        return self.kind(tuple(names)), np.maximum(labels, -1), unseen

    @property
    def strata(self) -> np.ndarray:
        return self.codes


class NumberColumn(LabelColumn):
    """Floats, NaN where missing."""

    def __init__(self, place: Mapping[str, Any], values: np.ndarray, unit: str):
        super().__init__(place)
        self.values, self.unit = values, unit

    @property
    def labelled(self) -> np.ndarray:
        return np.asarray(~np.isnan(self.values))

    def chosen(self, keep: np.ndarray) -> LabelColumn:
        return NumberColumn(self.place, self.values[keep], self.unit)

    def fit(self, training: np.ndarray) -> tuple[LabelKind, np.ndarray, Counter[str]]:
        return NumberKind.of(self.values[training], self.unit), self.values.astype(np.float32), Counter()


class TagColumn(LabelColumn):
    """Several texts in one cell; `codes` index into `sets`, -1 where missing."""

    def __init__(
        self, place: Mapping[str, Any], sets: Sequence[frozenset[str]], codes: np.ndarray, names: tuple[str, ...] | None
    ):
        super().__init__(place)
        self.sets, self.codes, self.names = sets, codes, names

    @property
    def labelled(self) -> np.ndarray:
        return np.asarray(self.codes >= 0)

    def chosen(self, keep: np.ndarray) -> LabelColumn:
        return TagColumn(self.place, self.sets, self.codes[keep], self.names)

    def fit(self, training: np.ndarray) -> tuple[LabelKind, np.ndarray, Counter[str]]:
        if self.names is not None:
            names: Sequence[str] = self.names
        else:
            used = np.unique(self.codes[training & (self.codes >= 0)])
            names = _in_order(list(frozenset().union(*(self.sets[code] for code in used))))
            if not names:
                expected, do = "at least one label in the training split", "leave the task out, or add examples"
                raise ValueError(message(expected, do, **self.place, labels=names))
        ids = {name: index for index, name in enumerate(names)}
        table = np.zeros((len(self.sets) + 1, len(names)), np.float32)
        for code, tags in enumerate(self.sets):
            table[code, [ids[tag] for tag in tags if tag in ids]] = 1.0
        table[-1] = np.nan  # what code -1 takes
        unseen: Counter[str] = Counter()
        for code, often in enumerate(np.bincount(self.codes[self.codes >= 0], minlength=len(self.sets)).tolist()):
            for tag in self.sets[code] if often else ():
                if tag not in ids:
                    unseen[tag] += often
        return MultiLabelKind(tuple(names)), table[self.codes], unseen


class FlagColumn(LabelColumn):
    """Several columns of 0 and 1, NaN where missing."""

    def __init__(self, place: Mapping[str, Any], names: tuple[str, ...], values: np.ndarray):
        super().__init__(place)
        self.names, self.values = names, values

    @property
    def labelled(self) -> np.ndarray:
        return np.asarray(~np.isnan(self.values).all(axis=-1))

    def chosen(self, keep: np.ndarray) -> LabelColumn:
        return FlagColumn(self.place, self.names, self.values[keep])

    def fit(self, training: np.ndarray) -> tuple[LabelKind, np.ndarray, Counter[str]]:
        return MultiLabelKind(self.names), self.values, Counter()


def _in_order(names: Sequence[str]) -> list[str]:
    """Sorted, as numbers where all are."""
    if all(as_number(name) is not None for name in names):
        return sorted(names, key=float)
    return sorted(names)
