"""TFRecord files read frame by frame and checked, so that every byte of them is accounted for.

A file is a row of frames: the record's length (uint64, little-endian), its masked CRC-32C (uint32), the record, and
its masked CRC-32C. TensorFlow's own reader stops at the first wrong frame and does not say which record it was; this
one says it, and goes on behind a record that is damaged but has kept its length.

Source of the format: the TensorFlow guide "TFRecord and tf.train.Example"; CRC-32C: Castagnoli et al., IEEE Trans.
Communications 1993.
"""

import gzip
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any

import google_crc32c

from mtl_keras.errors import message

HEADER, FOOTER = 12, 4
# what a message of protocol buffers cannot exceed
_LARGEST = 2**31
_CUT_OFF = "a whole record: the file is cut off"
# what reading a packed file can raise
_PACKED = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Frame:
    """One record as it lies in a file.

    Attributes:
        number: Of the record in the file, counted from 0, damaged ones included.
        offset: Where its bytes begin in the (unpacked) file.
        record: Its bytes; None where it is damaged.
        damage: What would have been right, "" where all is.
        ends: Whether nothing that follows can be read.
    """

    number: int
    offset: int
    record: bytes | None
    damage: str = ""
    ends: bool = False


def compression_of(path: str | PathLike[str]) -> str:
    """`"GZIP"` for files that end in `.gz`, else `""`."""
    return "GZIP" if Path(path).suffix.lower() == ".gz" else ""


def frames(path: str | PathLike[str]) -> Iterator[Frame]:
    """The frames of one file in order.

    A damaged record is given as a frame without a record. Where the length itself is damaged or the file is cut off,
    that frame is the last one; so it is in a packed file, where nothing behind the first damage can be found again.

    Raises:
        ValueError: The file cannot be opened.
    """
    packed = bool(compression_of(path))
    try:
        file = _open(path)
    except OSError as error:
        raise ValueError(
            message("a TFRecord file that can be read", "correct the path", file=fspath(path), error=error.strerror)
        ) from error
    with file:
        number, offset = 0, 0
        size = _LARGEST if packed else Path(path).stat().st_size
        while (found := _next(file, size if packed else size - offset)) is not None:
            record, damage, length = found
            ends = length is None or (bool(damage) and packed)
            yield Frame(number, offset + HEADER, record, damage, ends)
            if length is None or ends:
                return
            number, offset = number + 1, offset + HEADER + length + FOOTER


def records_at(path: str, places: Iterable[tuple[int, int]]) -> Iterator[tuple[bytes | None, str]]:
    """The records that lie at some places of a file, which was read before; or None, and what would have been right.

    Args:
        path: The file.
        places: `(offset, length)` of each record in the (unpacked) file, in rising order.
    """
    try:
        file = _open(path)
    except OSError:
        yield from ((None, "a file that is there") for _ in places)
        return
    with file:
        for offset, length in places:
            try:
                file.seek(offset - HEADER)
                found = _next(file, HEADER + length + FOOTER)
            except _PACKED as error:
                found = None, _unpackable(error), None
            record, damage, _ = found or (None, _CUT_OFF, None)
            yield record, damage


def masked_crc(data: bytes) -> int:
    """The CRC-32C of some bytes, masked as TFRecord files have it.

    Example:
        >>> hex(masked_crc(b"123456789"))  # the CRC itself is 0xe3069283
        '0xc78ab0e5'
    """
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _next(file: IO[bytes], left: int) -> tuple[bytes | None, str, int | None] | None:
    """Record, damage and length of the next frame; None at the end; length None where it is unknown."""
    try:
        header = file.read(HEADER)
        if not header:
            return None
        if len(header) < HEADER:
            return None, _CUT_OFF, None
        length, crc = struct.unpack("<QI", header)
        if masked_crc(header[:8]) != crc:
            return None, "a record whose length has the right checksum", None
        if length > min(left, _LARGEST) - HEADER - FOOTER:
            return None, _CUT_OFF, None
        record = file.read(length)
        footer = file.read(FOOTER)
    except _PACKED as error:
        return None, _unpackable(error), None
    if len(record) < length or len(footer) < FOOTER:
        return None, _CUT_OFF, None
    if masked_crc(record) != struct.unpack("<I", footer)[0]:
        return None, "a record with the right checksum", length
    return record, "", length


def _unpackable(error: Exception) -> str:
    return f"a packed file that can be unpacked ({error})"


def _open(path: str | PathLike[str]) -> Any:
    return gzip.open(path, "rb") if compression_of(path) else Path(path).open("rb")
