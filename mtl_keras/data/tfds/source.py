"""Data sets of tensorflow-datasets as a source."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.columns import Column, refuse_unused, stated_columns
from mtl_keras.data.kinds import LabelKind
from mtl_keras.data.order import check_buffer
from mtl_keras.data.parallel import options
from mtl_keras.data.rows import rows_of
from mtl_keras.data.source import Source
from mtl_keras.data.splits import NAMES
from mtl_keras.data.tfds.examples import TfdsExamples
from mtl_keras.data.tfds.inputs import ImageInput, TensorInput, input_names, input_of
from mtl_keras.data.tfds.labels import LabelFeature, Path, feature_at, label_feature
from mtl_keras.errors import message

SHUFFLE_BUFFER = 4096
_BATCH = 256


def from_tfds(
    name: Any,
    tasks: Mapping[str, Column | str | None] | Sequence[str],
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
    image_size: Any = None,
    splits: Mapping[str, str] | None = None,
    inputs: Sequence[str] | None = None,
    shuffle_buffer: int = SHUFFLE_BUFFER,
    seed: int = 0,
) -> Source:
    """A source of a data set of tensorflow-datasets.

    Labels are read once here and kept in memory; names of classes and attributes are those of the builder.

    Args:
        name: Name of a data set, e.g. `"cifar100"` or `"oxford_iiit_pet:4.*.*"`, or a builder.
        tasks: Names of features, `"feature:kind"` texts, or `{task: Column, kind or None}`, as in `from_csv`, with
            features as columns; a `Column` may state `kind` and `columns`, the builder says the rest.
            `"attributes/Smiling"` leads into nested ones. A class label is a class, a dict of bools (or several
            features with bools) is one task of attributes, a list of class labels is the attributes that an example
            has, a dict of numbers is one task of several, other numbers are numbers.
        data_dir: Where the data set lies, default where tensorflow-datasets keeps its own.
        download: Whether to fetch and prepare it where it is not there, default False.
        image_size: What images become: one side, `(height, width)` or an `ImageFormat`; default what they are, where
            all are of one size.
        splits: `{"train": ..., "val": ..., "test": ...}` in the builder's words, e.g. `"train[:90%]"`. Default its
            `train`, `validation` and `test`; without a validation, the last 10 % of `train` are val.
        inputs: Features that are inputs (not nested ones), default the builder's own, or `"image"`.
        shuffle_buffer: How many training examples are mixed at a time, default 4,096; they are held in memory as they
            are stored.
        seed: Seed of the order of the training examples, default 0.

    Returns:
        The source.

    Raises:
        ValueError: The data set or a split is not there, a feature does not exist or does not fit, or a task has no
            label in a split.

    Example: `from_tfds("celeb_a", ["attributes"], image_size=64)` has one task with 40 attributes.
    """
    check_buffer(shuffle_buffer)
    columns = stated_columns(tasks)
    refuse_unused(columns, ("kind", "columns"))
    _check_parts(splits)
    builder = _builder(name, data_dir)
    if download:
        builder.download_and_prepare()
    features = builder.info.features
    labels = {task: label_feature(task, column, features) for task, column in columns.items()}
    chosen = (
        [inputs]
        if isinstance(inputs, str)
        else list(inputs or input_names(features, builder.info.supervised_keys, list(columns)))
    )
    for name in chosen:
        if len(feature_at(features, name, "inputs")[0]) > 1:
            raise ValueError(message("inputs that are no parts of other features", "choose others", inputs=chosen))
    read = {name: input_of(name, feature_at(features, name, "inputs")[1], image_size) for name in chosen}
    stated = splits or _splits(builder)
    parts = {split: stated[split] for split in NAMES if split in stated}
    looked = {split: _look(builder, part, labels, read) for split, part in parts.items()}
    kinds, encoded, unseen = _encoded(labels, {split: values for split, (values, _) in looked.items()})
    examples = {
        split: TfdsExamples(
            _stored(builder, part, read),
            _decoder(read, looked[split][1]),
            encoded[split],
            shuffle_buffer,
        )
        for split, part in parts.items()
    }
    about = {
        "builder": builder.info.full_name,
        "splits": parts,
        "unseen": {task: count for task, count in unseen.items() if count},
    }
    specs = {name: made.spec for name, made in read.items()}
    before = {name: made.before for name, made in read.items() if made.before}
    return Source(examples, kinds, specs, before, seed, about)


def _builder(name: Any, data_dir: str | PathLike[str] | None) -> Any:
    import tensorflow_datasets as tfds

    if isinstance(name, tfds.core.DatasetBuilder):
        return name
    if not isinstance(name, str):
        expected = "the name of a data set of tensorflow-datasets, or a builder"
        raise ValueError(message(expected, "pass e.g. 'cifar100'", name=name))
    try:
        return tfds.builder(name, data_dir=None if data_dir is None else fspath(data_dir))
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(
            message(
                "the name of a data set of tensorflow-datasets",
                "correct it, or import the module that has its builder",
                name=name,
            )
        ) from error
    except (AssertionError, ValueError) as error:  # tensorflow-datasets raises either
        expected = "the name of a data set as 'name', 'name/configuration' or 'name:version', with those that there are"
        raise ValueError(message(expected, "correct it", name=name, error=_in_short(error))) from error


def _in_short(error: BaseException) -> str:
    """The first line of what went wrong, without what tensorflow-datasets puts before it."""
    return str(error).rpartition('}": ')[2].partition("\n")[0].strip()


def _check_parts(splits: Any) -> None:
    """The splits that a user states are ours, in words for the builder."""
    right = isinstance(splits, Mapping) and splits and set(splits) <= set(NAMES)
    if splits is not None and not (right and all(isinstance(part, str) for part in splits.values())):
        expected = f"splits among {list(NAMES)}, each as a text in the builder's words"
        raise ValueError(message(expected, "pass e.g. {'train': 'train[:90%]', 'val': 'train[90%:]'}", splits=splits))


def _splits(builder: Any) -> dict[str, str]:
    """The builder's own splits under our names."""
    there = list(builder.info.splits)
    found = {"train": "train"}
    if "validation" in there:
        found["val"] = "validation"
    else:
        found |= {"train": "train[:90%]", "val": "train[90%:]"}
    return {**found, "test": "test"} if "test" in there else found


def _dataset(builder: Any, part: str, paths: Sequence[Path], packed: Sequence[str]) -> tf.data.Dataset:
    """Some features of a split, always in the same order; `packed` ones as they are stored.

    Raises:
        ValueError: The data set is not there.
    """
    import tensorflow_datasets as tfds

    skip = {name: tfds.decode.SkipDecoding() for name in packed}
    try:
        return builder.as_dataset(
            split=part,
            shuffle_files=False,
            # whoever trains knows best where to cache
            read_config=tfds.ReadConfig(try_autocache=False, skip_prefetch=True),
            decoders=tfds.decode.PartialDecoding(_nested(paths), decoders=skip),
        )
    except AssertionError as error:
        raise ValueError(
            message(
                f"the data set {builder.info.full_name}, fetched and prepared",
                f"pass download=True, run 'tfds build {builder.info.name}', or pass the data_dir that holds it",
                data_dir=fspath(builder.data_dir_root),
                download=False,
            )
        ) from error
    except ValueError as error:  # a split that is not there, or is not written as one
        raise ValueError(
            message(
                f"a split of {builder.info.full_name}",
                f"pass splits with those among {list(builder.info.splits)}, or with parts of them, e.g. 'train[:90%]'",
                split=part,
                error=_in_short(error),
            )
        ) from error
    except NotImplementedError as error:
        raise ValueError(
            message(
                "a data set prepared as tfrecord or parquet, which can be read in a row",
                "prepare it with file_format='tfrecord'",
                builder=builder.info.full_name,
            )
        ) from error


def _nested(paths: Sequence[Path]) -> dict[str, Any]:
    """`{"a": {"b": True}}` from `[("a", "b")]`."""
    tree: dict[str, Any] = {}
    for *outer, last in paths:
        place = tree
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = True
    return tree


def _look(
    builder: Any, part: str, labels: Mapping[str, LabelFeature], read: Mapping[str, TensorInput | ImageInput]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """`{task: labels}` of a split as they are stored, and `{input: plan of each example}` of packed inputs."""
    packed = [name for name, made in read.items() if isinstance(made, ImageInput)]
    paths = [*(path for label in labels.values() for path in label.paths), *((name,) for name in packed)]
    dataset = _dataset(builder, part, paths, packed)

    def kept(example: dict[str, Any]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        values = {task: label.read(example) for task, label in labels.items()}
        return values, {name: example[name] for name in packed}

    found: list[dict[str, np.ndarray]] = []
    plans: dict[str, list[list[int]]] = {name: [] for name in packed}
    batches = dataset.map(kept, tf.data.AUTOTUNE).batch(_BATCH).with_options(options())
    for values, stored in batches.as_numpy_iterator():
        found.append(values)
        for name in packed:
            plans[name] += [read[name].plan(data) for data in stored[name]]  # type: ignore[union-attr]
    if not found:
        raise ValueError(message("at least one example", "choose another split", split=part, examples=0))
    joined = {task: np.concatenate([values[task] for values in found]) for task in labels}
    size = len(next(iter(joined.values())))
    facts = {name: np.array(plans.get(name) or [[0, 0]] * size, np.uint8) for name in read}
    return joined, facts


def _stored(builder: Any, part: str, read: Mapping[str, TensorInput | ImageInput]) -> tf.data.Dataset:
    dataset = _dataset(
        builder, part, [(name,) for name in read], [name for name, made in read.items() if isinstance(made, ImageInput)]
    )
    return dataset.map(lambda example: {name: example[name] for name in read})


def _decoder(read: Mapping[str, TensorInput | ImageInput], facts: Mapping[str, np.ndarray]) -> Any:
    plans = {name: rows_of(values) for name, values in facts.items()}

    def decode(stored: Mapping[str, tf.Tensor], number: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: made.decode(stored[name], plans[name](number)) for name, made in read.items()}

    return decode


def _encoded(
    labels: Mapping[str, LabelFeature], values: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[dict[str, LabelKind], dict[str, dict[str, np.ndarray]], dict[str, int]]:
    """Kinds, `{split: {task: labels}}`, and how many labels of each task training has not seen."""
    sizes = [len(next(iter(of_split.values()))) for of_split in values.values()]
    training = np.repeat([split == "train" for split in values], sizes)
    kinds: dict[str, LabelKind] = {}
    encoded: dict[str, dict[str, np.ndarray]] = {split: {} for split in values}
    unseen: dict[str, int] = {}
    for task, label in labels.items():
        together = np.concatenate([of_split[task] for of_split in values.values()])
        kinds[task], made, unseen[task] = label.encoded(task, together, training)
        for split, part in zip(values, np.split(made, np.cumsum(sizes)[:-1]), strict=True):
            encoded[split][task] = part
    return kinds, encoded, unseen
