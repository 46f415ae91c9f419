"""Several data sets, each with its own tasks, as one source."""

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import accumulate
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.augment import Augmentation
from mtl_keras.data.examples import Example, Examples, with_none
from mtl_keras.data.kinds import LabelKind, NumberKind
from mtl_keras.data.order import EPOCHS, permutation
from mtl_keras.data.shares import Shares, whole_counts
from mtl_keras.data.source import Source
from mtl_keras.data.splits import NAMES
from mtl_keras.data.stages import Augment, check_batch_size
from mtl_keras.errors import message

# more passes over one part than an epoch has
_TIMES = 2**20


def mix(
    sources: Mapping[str, Source],
    by: Any = "size",
    anneal: tuple[Any, int] | None = None,
    epoch_size: int | None = None,
    seed: int = 0,
) -> "MixedSource":
    """Several data sets as one source: each example carries the labels that it has, the others are missing.

    In training, an epoch takes its share from each data set, to within one example, in an order that follows from seed
    and epoch. A data set of which an epoch needs more than it has is gone through several times, each time in another
    order; one of which it needs less gives other examples in every epoch. Validation and test are the examples of all
    data sets, each once.

    Args:
        sources: `{name: source}`. Their inputs are alike; tasks of the same name have the same labels and become one.
        by: How the training epoch is divided: `"size"` (default) as the data sets are large, `"uniform"` in equal
            parts, a temperature T for shares proportional to `size ** (1 / T)`, or `{name: share}`.
        anneal: `(by, epochs)`: how it is divided in the end, and after how many epochs; default as in the beginning.
        epoch_size: How many examples make a training epoch, default as many as all data sets have.
        seed: Seed of the order, default 0; the sources' own seeds are not used.

    Returns:
        The source. A step in which a task has no label leaves its head and its weighting alone; `task_batches` gives
        batches that come from one data set each.

    Raises:
        ValueError: Inputs or labels of the data sets do not fit together, or an argument is out of its range.

    Example:
        >>> import numpy as np, mtl_keras as mtl
        >>> cats = mtl.data.from_arrays(np.zeros((60, 2), "float32"), {"breed": np.arange(60) % 3}, input_name="x")
        >>> dogs = mtl.data.from_arrays(np.ones((20, 2), "float32"), {"size": np.arange(20) / 2}, input_name="x")
        >>> both = mtl.data.mix({"cats": cats, "dogs": dogs}, by="uniform")
        >>> both.sizes, both.task_names
        ({'train': 64, 'val': 8, 'test': 8}, ['breed', 'size'])
        >>> x, y, w = next(iter(both.batches(64, training=True)))
        >>> int(w["breed"].numpy().sum()), int(w["size"].numpy().sum())
        (32, 32)
    """
    if not isinstance(sources, Mapping) or not sources or not all(isinstance(s, Source) for s in sources.values()):
        raise ValueError(message("at least one source, by name", "pass {name: source}", sources=sources))
    first_name, first = next(iter(sources.items()))
    before = first.before
    for name, source in sources.items():
        joined = _joined_before(before, source.before)
        if source.inputs != first.inputs or joined is None:
            what = "before" if source.inputs == first.inputs else "inputs"
            raise ValueError(
                message(
                    f"the same inputs in every data set ({what})",
                    "read them with the same size and preprocessing",
                    **{first_name: getattr(first, what), name: getattr(source, what)},
                )
            )
        before = joined
    kinds = _merged(sources)
    sizes = {name: source.sizes["train"] for name, source in sources.items()}
    length = sum(sizes.values()) if epoch_size is None else epoch_size
    if isinstance(length, bool) or not isinstance(length, int) or length < len(sources):
        raise ValueError(
            message("an epoch of at least one example per data set", "choose another size", epoch_size=epoch_size)
        )
    counts = Shares(sizes, by, anneal).counts(length)
    examples: dict[str, Examples] = {}
    for split in NAMES:
        parts = {name: source.examples[split] for name, source in sources.items() if split in source.examples}
        if parts:
            shares = counts if split == "train" else None
            examples[split] = MixedExamples(list(parts.values()), kinds, shares)
    about = {name: source.about for name, source in sources.items()}
    return MixedSource(examples, kinds, first.inputs, before, seed, about)


class MixedSource(Source):
    """What `mix` gives: a source whose training examples come from several data sets."""

    def task_batches(
        self,
        batch_size: int = 64,
        augment: Augment | Sequence[Augmentation] | None = None,
        strategy: Any = None,
    ) -> tf.data.Dataset:
        """As `batches(training=True)`, but every batch comes from one data set; shares are of batches.

        Args:
            batch_size: B, over all replicas together, default 64.
            augment: See `batches`.
            strategy: See `batches`.

        Raises:
            ValueError: A data set has fewer examples than a batch, or the epoch has fewer batches than data sets.
        """
        train = self.examples["train"]
        assert isinstance(train, MixedExamples)
        check_batch_size(batch_size)
        return self._batches(train.one_per_batch(batch_size), batch_size, True, augment, strategy)


class MixedExamples(Examples):
    """Examples of several data sets, with the labels of all.

    Args:
        parts: The data sets' examples.
        kinds: `{task: kind}` of all.
        counts: How many examples of an epoch come from each part, int64 [epochs, S]; the last row is for ever. None for
            splits that are not trained on: they are read one part after the other.
        by_batch: Size of the batches that come from one part each; None for examples one by one.
    """

    def __init__(
        self,
        parts: Sequence[Examples],
        kinds: Mapping[str, LabelKind],
        counts: np.ndarray | None,
        by_batch: int | None = None,
    ):
        self.parts, self.kinds = list(parts), dict(kinds)
        self.counts, self.by_batch = counts, by_batch
        # the parts' labels one below the other: that is all it takes to know which are missing
        self._first = list(accumulate((part.rows for part in parts), initial=0))
        rows = [{task: with_none(labels) for task, labels in part.labels.items()} for part in parts]
        super().__init__(self._joined(rows), sum(part.size for part in parts))

    def length(self, shuffle: bool) -> int:
        if not shuffle or self.counts is None:
            return self.size
        return int(self.counts[-1].sum()) * (self.by_batch or 1)

    def one_per_batch(self, batch_size: int) -> "MixedExamples":
        """The same examples for batches that come from one part each."""
        assert self.counts is not None
        steps = self.length(shuffle=True) // batch_size
        if any(part.size < batch_size for part in self.parts) or steps < len(self.parts):
            raise ValueError(
                message(
                    "a batch that each data set can fill, and as many batches as data sets",
                    "choose a smaller batch_size",
                    batch_size=batch_size,
                    sizes=[part.size for part in self.parts],
                )
            )
        rows = [whole_counts(row / row.sum(), steps) for row in self.counts]
        return MixedExamples(self.parts, self.kinds, np.stack(rows), batch_size)

    def stored(self, key: tf.Tensor, shuffle: bool) -> tf.data.Dataset:
        if shuffle and self.counts is not None:
            return self._mixed(key, None)
        parts = [self._pass(index, key, shuffle, None) for index in range(len(self.parts))]
        return reduce(tf.data.Dataset.concatenate, parts)

    def in_batches(self, key: tf.Tensor, shuffle: bool, batch_size: int, drop_remainder: bool) -> tf.data.Dataset:
        if shuffle and self.by_batch is not None:
            return self._mixed(key, batch_size)
        return super().in_batches(key, shuffle, batch_size, drop_remainder)

    def read(self, number: tf.Tensor, stored: Example) -> Example:
        return stored

    def labels_of(self, number: tf.Tensor) -> Example:
        return super().labels_of(number % self.rows)

    def explain(self, error: str) -> str | None:
        explanations = (part.explain(error) for part in self.parts)
        return next((text for text in explanations if text is not None), None)

    def lost(self) -> dict[str, int]:
        return {file: count for part in self.parts for file, count in part.lost().items()}

    def own_labels(self) -> dict[str, np.ndarray]:
        return self._joined([part.own_labels() for part in self.parts])

    def _joined(self, labels: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The labels of all parts one below the other; tasks that a part does not have are missing there."""
        counts = [len(next(iter(part.values()))) for part in labels]
        return {
            task: np.concatenate(
                [part.get(task, _missing(kind, count)) for part, count in zip(labels, counts, strict=True)]
            )
            for task, kind in self.kinds.items()
        }

    def _mixed(self, key: tf.Tensor, batch_size: int | None) -> tf.data.Dataset:
        """One epoch, example by example or batch by batch."""
        counts = tf.constant(self.counts)
        epoch = key % EPOCHS
        row = counts[tf.minimum(epoch, counts.shape[0] - 1)]
        length = int(self.counts[-1].sum())  # type: ignore[index]
        order = tf.gather(tf.repeat(tf.range(len(self.parts), dtype=tf.int64), row), permutation(key, length))
        streams = [self._stream(index, key, epoch, batch_size) for index in range(len(self.parts))]
        chosen = tf.data.Dataset.from_tensor_slices(order)
        return tf.data.Dataset.choose_from_datasets(streams, chosen, stop_on_empty_dataset=False)

    def _stream(self, index: int, key: tf.Tensor, epoch: tf.Tensor, batch_size: int | None) -> tf.data.Dataset:
        """Pass after pass over one part, each in its own order."""
        part = self.parts[index]
        needed = int(self.counts[:, index].max()) * (batch_size or 1)  # type: ignore[index]
        passes = -(-needed // part.length(shuffle=True)) + 1
        # a seed of the part's own, so that two parts of equal size are not in the same order
        seed = (key // EPOCHS * 1_000_003 + index + 1) % 2**31

        def one_pass(number: tf.Tensor) -> tf.data.Dataset:
            own_key = seed * EPOCHS + (epoch * passes + number) % EPOCHS
            return self._pass(index, own_key, True, batch_size, number)

        return tf.data.Dataset.range(passes).flat_map(one_pass)

    def _pass(
        self, index: int, key: tf.Tensor, shuffle: bool, batch_size: int | None, times: tf.Tensor | int = 0
    ) -> tf.data.Dataset:
        """One pass over one part: `(number, inputs)`.

        Args:
            index: Of the part.
            key: See `stored`.
            shuffle: See `stored`.
            batch_size: See `_mixed`.
            times: How many passes of this epoch went before. An example that comes again has another number, of the
                same labels, so that it is not augmented as it was before.
        """
        part, rows = self.parts[index], self.rows

        def renumber(number: tf.Tensor) -> tf.Tensor:
            # a part may be a mixture too, in which examples come again
            again = tf.cast(times, tf.int64) + _TIMES * (number // part.rows)
            return self._first[index] + number % part.rows + again * rows

        if batch_size is None:
            return part.one_by_one(key, shuffle, renumber)
        batches = part.in_batches(key, shuffle, batch_size, drop_remainder=True)
        return batches.map(lambda number, stored: (renumber(number), part.read(number, stored)))


def _joined_before(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, dict[str, Any]] | None:
    """What is done to the inputs of two data sets; None where it is not the same.

    How image files became pixels may be known of one of them only: arrays came from somewhere.
    """
    joined = {}
    for name in dict.fromkeys([*one, *other]):
        first, second = one.get(name, {}), other.get(name, {})
        for step in {*first, *second} - {"pixels"}:
            found = first.get(step), second.get(step)
            if found[0] != found[1] and not (step == "image" and None in found):
                return None
        joined[name] = {**first, **second} if "image" in second else {**second, **first}
    return joined


def _missing(kind: LabelKind, count: int) -> np.ndarray:
    """Missing labels, [count, *shape of a label]."""
    return np.full((count, *kind.spec.shape), kind.missing).astype(kind.spec.dtype.as_numpy_dtype)


def _merged(sources: Mapping[str, Source]) -> dict[str, LabelKind]:
    """The tasks of all data sets; those of the same name have to be the same."""
    kinds: dict[str, LabelKind] = {}
    of: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name, source in sources.items():
        for task, kind in source.kinds.items():
            count = source.label_counts()[task]
            if task not in kinds:
                kinds[task], of[task], counts[task] = kind, name, count
                continue
            known = kinds[task]
            if isinstance(known, NumberKind) and isinstance(kind, NumberKind) and known.measures_as(kind):
                kinds[task] = known.pooled(kind, counts[task], count)
                counts[task] += count
            elif known != kind:
                raise ValueError(
                    message(
                        f"the same labels of task {task!r} in every data set",
                        "give the tasks different names, or the labels the same",
                        **{of[task]: known.describe(), name: kind.describe()},
                    )
                )
    return kinds
