"""Examples whose images lie in files, and the checks that these files have to pass."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from mtl_keras.data.decoding import ImageDecoder, why_undecodable
from mtl_keras.data.examples import Example, IndexedExamples
from mtl_keras.data.lost import Lost
from mtl_keras.data.parallel import AT_ONCE, options
from mtl_keras.data.paths import FoundFiles
from mtl_keras.data.pixel_store import PixelStore
from mtl_keras.data.problems import Problem
from mtl_keras.data.rows import rows_of
from mtl_keras.errors import message
from mtl_keras.images import MAX_PIXELS, ImageHeader, UnreadableImage, read_header

_AT_ONCE = 16  # files that are read at the same time where some may be left out

Progress = Callable[[str, int, int], None]


class ImageFiles:
    """Image files below a root folder, and how to decode each of them.

    Args:
        root: The folder.
        paths: Files in it that are there.
        decoder: What decodes them.
        headers: Their headers, None for those that Pillow shall read.
    """

    def __init__(self, root: str, paths: Sequence[str], decoder: ImageDecoder, headers: Iterable[ImageHeader | None]):
        self.root, self.decoder = root, decoder
        with tf.device("CPU:0"):
            self._paths = tf.constant(paths, tf.string, shape=(len(paths),))
        self._plan = rows_of(decoder.plans(headers))

    def __len__(self) -> int:
        return int(self._paths.shape[0])

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """The image of one file, uint8 [height, width, channels]."""
        return self.decoder(tf.io.read_file(self.path(index)), self._plan(index))

    def path(self, index: tf.Tensor) -> tf.Tensor:
        """Where one file lies, or several."""
        return tf.strings.join([self.root, tf.gather(self._paths, index)], "/")

    def why_not(self, index: int) -> tuple[str, str]:
        """The path of a file, and what would have been right if it cannot be read now, else ""."""
        path = os.fsdecode(self.path(tf.constant(index)).numpy())
        try:
            self.read(tf.constant(index))
        except tf.errors.OpError as wrong:
            return path, why_undecodable(path, wrong) if Path(path).is_file() else "a file that is there"
        return path, ""

    def first_unreadable(self, error: str) -> tuple[str, str] | None:
        """As `why_not`, of the first file that cannot be read now, given the error that reading one raised."""
        paths = [os.fsdecode(path) for path in self.path(tf.range(len(self))).numpy()]
        # an error in opening a file names it, one in decoding does not
        suspects = [i for i, path in enumerate(paths) if path in error] or range(len(paths))
        return next((found for found in map(self.why_not, suspects) if found[1]), None)


class FileExamples(IndexedExamples):
    """Examples with one image file each.

    Args:
        files: The files.
        which: int64 [N], index into `files`.
        labels: `{task: array [N, ...]}`.
        input_name: Name of the input.
        lost: What takes note of files that can no longer be read while training, each of which gives an example
            without labels; default None, for an error.
        problem: What the list says of the example of a number, given what was expected; needed for `lost`.
    """

    def __init__(
        self,
        files: ImageFiles,
        which: np.ndarray,
        labels: Mapping[str, np.ndarray],
        input_name: str,
        lost: Lost | None = None,
        problem: Callable[[int, str], Problem] | None = None,
    ):
        super().__init__(labels)
        self._files, self._input_name, self._lost, self._problem = files, input_name, lost, problem
        with tf.device("CPU:0"):
            self._which = tf.constant(which, tf.int64)

    def inputs(self, index: tf.Tensor) -> Example:
        return {self._input_name: self._files.read(tf.gather(self._which, index))}

    def stored(self, key: tf.Tensor, shuffle: bool) -> tf.data.Dataset:
        if self._lost is None:
            return super().stored(key, shuffle)

        def one_or_nothing(number: tf.Tensor) -> tf.data.Dataset:
            one = tf.data.Dataset.from_tensors(number)
            read = one.map(lambda number: (number, self.inputs(number))).ignore_errors()
            return read.concatenate(one.map(self._left_out)).take(1)

        numbers = tf.data.Dataset.from_tensor_slices(self.order(key, shuffle))
        return numbers.interleave(one_or_nothing, _AT_ONCE, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _left_out(self, number: tf.Tensor) -> tuple[tf.Tensor, Example]:
        """What stands for an example whose file cannot be read: one without labels, so that nothing is learnt."""
        none = tf.ensure_shape(tf.numpy_function(self._note, [number], tf.int64), ())
        return none, {self._input_name: tf.zeros(self._files.decoder.format.shape, tf.uint8)}

    def _note(self, number: int) -> np.ndarray:
        """Take note of a lost example; returns the number that has no labels."""
        assert self._lost is not None
        assert self._problem is not None
        path, expected = self._files.why_not(int(self._which[number]))
        self._lost.add(path, self._problem(int(number), expected or "a file that is there all the time").line())
        return np.array(self.size)

    def lost(self) -> dict[str, int]:
        return {} if self._lost is None else self._lost.by_file()

    def explain(self, error: str) -> str | None:
        found = self._files.first_unreadable(error)
        if found is None:
            return None
        path, expected = found
        do = "restore the file, or make the source with skip_bad=True, which leaves it out"
        return message(f"{expected}, as it was before training", do, file=path)


class StoredExamples(IndexedExamples):
    """Examples with one image each that lies decoded in a store.

    Args:
        store: The store.
        which: int64 [N], index into it.
        labels: `{task: array [N, ...]}`.
        input_name: Name of the input.
    """

    takes_batches = True

    def __init__(self, store: PixelStore, which: np.ndarray, labels: Mapping[str, np.ndarray], input_name: str):
        super().__init__(labels)
        self._read, self._input_name = store.reader(), input_name
        with tf.device("CPU:0"):
            self._which = tf.constant(which, tf.int64)

    def inputs(self, index: tf.Tensor) -> Example:
        return {self._input_name: self._read(tf.gather(self._which, index))}


def read_headers(
    root: str, files: FoundFiles, max_pixels: int = MAX_PIXELS, progress: Progress | None = None
) -> list[ImageHeader | str]:
    """The header of every file, or what was expected instead; a file that is known to be wrong is not opened."""
    found: list[ImageHeader | str] = []
    for index, path in enumerate(files.paths):
        if progress is not None:
            progress("headers", index, len(files))
        try:
            found.append(files.wrong.get(index) or read_header(f"{root}/{path}", max_pixels))
        except UnreadableImage as error:
            found.append(error.expected)
    return found


def decode_all(files: ImageFiles, store: PixelStore | None = None, progress: Progress | None = None) -> dict[int, str]:
    """Decode every file as training will, in parallel; keep the images if there is a store.

    Returns:
        `{index: what was expected}` of files that cannot be decoded.
    """
    if store is not None and store.complete:
        return store.wrong
    decoded = tf.data.Dataset.range(len(files)).map(files.read, num_parallel_calls=AT_ONCE)
    images = iter(decoded.prefetch(tf.data.AUTOTUNE).with_options(options()))
    wrong: dict[int, str] = {}
    for index in range(len(files)):
        if progress is not None:
            progress("pixels", index, len(files))
        # after an error the iterator goes on with the next file
        try:
            image = next(images)
        except tf.errors.OpError as error:
            wrong[index] = why_undecodable(os.fsdecode(files.path(tf.constant(index)).numpy()), error)
        else:
            if store is not None:
                store.pixels[index] = image.numpy()
    if store is not None:
        store.wrong = wrong
        store.finish()
    return wrong
