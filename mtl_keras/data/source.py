"""Source: examples of known number with what is known of their labels; all that training needs of data."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from mtl_keras import distribute
from mtl_keras.data.augment import Augmentation
from mtl_keras.data.examples import Examples
from mtl_keras.data.kinds import LabelKind, Tally
from mtl_keras.data.order import EpochOrder, fixed_key
from mtl_keras.data.splits import NAMES
from mtl_keras.data.stages import Augment, Batching
from mtl_keras.errors import message
from mtl_keras.tasks import Task, checked_names


class Source:
    """Examples in three splits, with the tasks that they are labelled for.

    Every `from_...` function gives one; a new kind of data is a new `Examples` class and a function that makes a
    `Source` of it, nothing else.

    Args:
        examples: `{"train": examples, "val": ..., "test": ...}`; `val` and `test` may be left out.
        kinds: `{task: kind}` with vocabularies and scales taken from the training split, in the order of the outputs.
        inputs: `{input: tf.TensorSpec of one example}`.
        before: `{input: {"scale", "offset", ...}}`: what is done to the inputs before the model sees them, for the
            manifest. `scale` and `offset` are applied by `batches`, everything else is done already.
        seed: Seed of the order of the training examples and of augmentation, default 0.
        about: Facts on the data for reports, plain JSON types, e.g. where it came from and what was left out.

    Attributes:
        kinds, inputs, before, about: As given.
        sizes: `{split: number of examples}`.
        order: What decides the order of the training examples, see `EpochOrder`.

    Raises:
        ValueError: The training split is empty, a task has no label in a split, or a name cannot be used.

    Example:
        >>> import numpy as np, keras, mtl_keras as mtl
        >>> images = np.zeros((20, 8, 8, 3), np.uint8)
        >>> labels = {"colour": ["red", "green", "blue", "red"] * 5, "price": [1.0, 2.0, 3.0, 4.0, np.nan] * 4}
        >>> source = mtl.data.from_arrays(images, labels)
        >>> source.sizes, source.task_names
        ({'train': 16, 'val': 2, 'test': 2}, ['colour', 'price'])
        >>> model = mtl.build(source.input(), mtl.sharing.Hard(mtl.trunks.Conv((4,))), source.tasks())
        >>> x, y, weights = next(iter(source.batches(8, training=True)))
        >>> x.shape, sorted(y), weights["price"].shape
        (TensorShape([8, 8, 8, 3]), ['colour', 'price'], TensorShape([8]))
    """

    def __init__(
        self,
        examples: Mapping[str, Examples],
        kinds: Mapping[str, LabelKind],
        inputs: Mapping[str, tf.TensorSpec],
        before: Mapping[str, Mapping[str, Any]] | None = None,
        seed: int = 0,
        about: Mapping[str, Any] | None = None,
    ):
        self.examples = {split: examples[split] for split in NAMES if split in examples and examples[split].size}
        if "train" not in self.examples:
            raise ValueError(
                message("at least one example to train on", "check the data and the splits", sizes=_sizes(examples))
            )
        names = checked_names(kinds)
        for name in inputs:
            if name in names:
                raise ValueError(message("inputs and tasks of different names", "rename the task", task=name))
        self.kinds = dict(kinds)
        self.inputs = dict(inputs)
        self.before = {name: dict(steps) for name, steps in (before or {}).items()}
        self.about = dict(about or {})
        self.order = EpochOrder(seed)
        self.sizes = _sizes(self.examples)
        self._tallies = {split: part.tally(self.kinds) for split, part in self.examples.items()}
        self._check_labels()

    def _check_labels(self) -> None:
        for split, tallies in self._tallies.items():
            for task, tally in tallies.items():
                if not tally.labelled:
                    raise ValueError(
                        message(
                            f"a label of task {task!r} in every split that has examples",
                            "label some, divide the examples in another way, or leave the task out",
                            split=split,
                            examples=tally.examples,
                            labels=0,
                        )
                    )

    @property
    def task_names(self) -> list[str]:
        """The tasks, in the order of the outputs."""
        return list(self.kinds)

    @property
    def held_out(self) -> str:
        """The split to judge a trained model on: `"test"`, where there is none `"val"`, or else `"train"`."""
        return next(split for split in ("test", "val", "train") if split in self.sizes)

    @property
    def lost(self) -> dict[str, int]:
        """`{file: number of examples}`: what broke after it had been looked at, and was left out with `skip_bad`."""
        return {file: count for part in self.examples.values() for file, count in part.lost().items()}

    def label_counts(self, split: str = "train") -> dict[str, int]:
        """`{task: number of examples with a label}`."""
        return {task: tally.labelled for task, tally in self.tallies(split).items()}

    def tallies(self, split: str = "train") -> dict[str, Tally]:
        """`{task: label counts}`, per class or attribute as the kind says."""
        self._part(split)
        return dict(self._tallies[split])

    def class_weights(self, task: str) -> dict[int, float] | None:
        """`{class id: weight}` that balances the training labels of a task; None for tasks without classes."""
        if task not in self.kinds:
            raise ValueError(message(f"a task among {self.task_names}", "correct the name", task=task))
        return self.kinds[task].class_weights(self._tallies["train"][task])

    def tasks(self, balanced: bool = False, **arguments: Mapping[str, Any]) -> list[Task]:
        """Tasks with fitting heads, for `mtl_keras.build`.

        Args:
            balanced: Whether rare classes weigh more, by `class_weights`, and rare attributes, by their head's
                `pos_weight`; default False.
            **arguments: `task={...}`: arguments of that task's head, e.g. `colour={"hidden": (64,)}`.

        Raises:
            ValueError: Arguments for a task that there is not.
        """
        for task in arguments:
            if task not in self.kinds:
                raise ValueError(message(f"arguments of tasks among {self.task_names}", "correct the name", task=task))
        train = self._tallies["train"]
        made = []
        for task, kind in self.kinds.items():
            balance = kind.balance(train[task]) if balanced else {}
            weights = kind.class_weights(train[task]) if balanced else None
            made.append(Task(task, kind.head(**{**balance, **arguments.get(task, {})}), class_weight=weights))
        return made

    def input(self) -> Any:
        """A `keras.Input` that fits, or a dict of them where there are several."""
        made = {
            name: keras.Input(spec.shape, dtype="float32" if name in self._scales() else spec.dtype.name, name=name)
            for name, spec in self.inputs.items()
        }
        return next(iter(made.values())) if len(made) == 1 else made

    def batches(
        self,
        batch_size: int = 64,
        training: bool = False,
        split: str | None = None,
        augment: Augment | Sequence[Augmentation] | None = None,
        strategy: Any = None,
    ) -> tf.data.Dataset:
        """A dataset for `fit`, `evaluate` or `predict`.

        Args:
            batch_size: B, over all replicas together, default 64.
            training: Whether to shuffle, to augment and to drop a last part of a batch, default False.
            split: `"train"`, `"val"` or `"test"`; default `"train"` for training, else `"val"`.
            augment: What changes training examples at random: augmentations in order, e.g. `[augment.Flip()]`, or an
                `augment.Chain` of them, where masks, boxes or floats take part; default nothing.
            strategy: The strategy that the model was built under, default that of the current scope.

        Returns:
            Batches `(x, {task: y}, {task: weight})` of known cardinality. `x` is the input, or a dict of several.
            Missing labels are 0 with weight 0, others weigh 1, at the shape of the labels: float32 [B] or [B, A].

        Raises:
            ValueError: The split has no examples, or the batch size does not fit.

        The order of training examples follows from the source's seed and the epoch. `MultiTaskModel.fit` tells the
        dataset which epoch it is, also when a run is resumed; other loops call `source.order.begin_epoch(epoch)`.
        """
        name = split or ("train" if training else "val")
        return self._batches(self._part(name), batch_size, training, augment, strategy)

    def _batches(
        self, examples: Examples, batch_size: int, training: bool, augment: Any, strategy: Any
    ) -> tf.data.Dataset:
        batching = Batching(batch_size, training, distribute.replicas(strategy), augment)
        keys = self.order.keys() if training else fixed_key(self.order.seed)
        dataset = batching.apply(examples, keys, self.kinds, self._scales())
        dataset.explain, dataset.lost = examples.explain, examples.lost
        if training:
            dataset.begin_epoch = self.order.begin_epoch
        return dataset

    def _scales(self) -> dict[str, tuple[float, float]]:
        return {
            name: (float(steps.get("scale", 1.0)), float(steps.get("offset", 0.0)))
            for name, steps in self.before.items()
            if "scale" in steps or "offset" in steps
        }

    def _part(self, split: str) -> Examples:
        if split not in self.examples:
            raise ValueError(message("a split that has examples", f"choose one of {list(self.examples)}", split=split))
        return self.examples[split]


def _sizes(examples: Mapping[str, Examples]) -> dict[str, int]:
    return {split: part.size for split, part in examples.items()}
