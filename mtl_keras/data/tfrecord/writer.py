"""Any source as TFRecord files."""

import shutil
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.examples import Examples
from mtl_keras.data.kinds import LabelKind
from mtl_keras.data.order import fixed_key
from mtl_keras.data.parallel import options
from mtl_keras.data.source import Source
from mtl_keras.data.tfrecord.features import Numbers, Png, Raw, Writable
from mtl_keras.data.tfrecord.schema import Schema
from mtl_keras.errors import message

IMAGES = ("png", "raw")
# shards of about this size are read in parallel without many small reads
_SHARD_BYTES = 100 * 2**20
_AT_ONCE = 32


def write_tfrecord(
    source: Source,
    folder: str | PathLike[str],
    shards: int | None = None,
    images: str = "png",
    overwrite: bool = False,
) -> dict[str, list[Path]]:
    """Write a source as TFRecord files, which `from_tfrecord(folder)` opens again, with splits and vocabularies.

    Each record is a `tf.train.Example` with one feature per input and per task: class ids as whole numbers, all other
    labels as floats; a label that is missing is left out. The files are called `train-00000-of-00004.tfrecord` and so
    on; `dataset.json` beside them says what they hold. The folder appears whole or not at all.

    Args:
        source: What to write. Examples are written as the source has them: decoded, resized, not augmented.
        folder: Where to write; it must not be there yet.
        shards: Files per split, default one for every 100 MB of inputs.
        images: How images uint8 [H, W, 1 or 3] are stored: `"png"` (default), packed without loss, or `"raw"`, several
            times larger and faster to read. Other inputs are stored as they are.
        overwrite: Whether a folder that is there is replaced, default False.

    Returns:
        `{split: files}`.

    Raises:
        ValueError: The folder is there, or an input cannot be stored in this way.

    Example:
        >>> import tempfile, numpy as np, mtl_keras as mtl
        >>> source = mtl.data.from_arrays(np.zeros((20, 4, 4, 1), np.uint8), {"digit": np.arange(20) % 2})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = write_tfrecord(source, folder + "/digits")
        ...     again = mtl.data.from_tfrecord(folder + "/digits")
        >>> [file.name for file in files["train"]], again.sizes
        (['train-00000-of-00001.tfrecord'], {'train': 16, 'val': 2, 'test': 2})
    """
    if images not in IMAGES:
        raise ValueError(message(f"a way to store images among {list(IMAGES)}", "choose one", images=images))
    if shards is not None and (isinstance(shards, bool) or not isinstance(shards, int) or shards < 1):
        raise ValueError(message("a whole number of shards, at least 1", "pass shards=4", shards=shards))
    target = Path(folder)
    if target.exists() and not overwrite:
        raise ValueError(
            message("a folder that is not there yet", "pass overwrite=True, or another", folder=fspath(folder))
        )
    inputs = {name: _way(spec, images) for name, spec in source.inputs.items()}
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        files = {
            split: _write_split(split, examples, inputs, source.kinds, unfinished, shards)
            for split, examples in source.examples.items()
        }
        Schema(inputs, source.kinds, files, source.before).write(unfinished)
        if target.exists():
            shutil.rmtree(target)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return {split: [target / name for name in names] for split, names in files.items()}


def _way(spec: tf.TensorSpec, images: str) -> Writable:
    shape, dtype = tuple(spec.shape.as_list()), spec.dtype.name
    if None in shape:
        raise ValueError(message("inputs of one known shape", "resize or pad them first", shape=shape))
    if dtype == "uint8" and len(shape) == 3 and shape[-1] in (1, 3) and images == "png":
        return Png(shape)
    return Numbers(shape, dtype) if dtype in ("float32", "int64") else Raw(shape, dtype)


def _write_split(
    split: str,
    examples: Examples,
    inputs: Mapping[str, Writable],
    kinds: Mapping[str, LabelKind],
    folder: Path,
    shards: int | None,
) -> dict[str, int]:
    if shards is None:
        size = sum(int(np.prod(way.shape)) * np.dtype(way.dtype).itemsize for way in inputs.values())
        shards = -(-size * examples.size // _SHARD_BYTES)
    shards = max(1, min(shards, examples.size))
    records = _records(examples, inputs, kinds)
    counts = {}
    for shard in range(shards):
        name = f"{split}-{shard:05d}-of-{shards:05d}.tfrecord"
        # neighbours stay together: the order of the records is that of the examples
        count = (shard + 1) * examples.size // shards - shard * examples.size // shards
        with tf.io.TFRecordWriter(fspath(folder / name)) as writer:
            for _ in range(count):
                writer.write(next(records))
        counts[name] = count
    return counts


def _records(examples: Examples, inputs: Mapping[str, Writable], kinds: Mapping[str, LabelKind]) -> Iterator[bytes]:
    batches = examples.batched(fixed_key(), shuffle=False, batch_size=_AT_ONCE)
    whole = batches.map(lambda key, batch: examples.whole(*batch), num_parallel_calls=tf.data.AUTOTUNE)
    for example in whole.unbatch().prefetch(_AT_ONCE).with_options(options()):
        values = {name: value.numpy() for name, value in example.items()}
        features = {name: way.write(values[name]) for name, way in inputs.items()}
        features |= {task: _label(values[task], kind) for task, kind in kinds.items()}
        yield tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _label(value: Any, kind: LabelKind) -> tf.train.Feature:
    flat = np.ravel(value)
    if kind.num_classes is not None:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=flat[flat >= 0]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[] if np.isnan(flat).all() else flat))
