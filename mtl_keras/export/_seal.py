"""A checksum at the end of a .tflite file, so that damage is found before native code works on it.

LiteRT checks a file's structure, not its numbers: a changed weight gives other answers, and a changed index can end the
process. What follows a flatbuffer is read by no runtime, so a sealed file runs everywhere.
"""

from hashlib import sha256

_MARK = b"mtlkeras"
SIZE = len(_MARK) + sha256().digest_size


def sealed(data: bytes) -> bytes:
    """The file followed by a mark and its SHA-256.

    Example:
        >>> len(sealed(b"file")), is_broken(sealed(b"file")), is_broken(b"a" + sealed(b"file"))
        (44, False, True)
    """
    return data + _MARK + sha256(data).digest()


def is_broken(data: bytes) -> bool:
    """Whether a file bears a seal that does not belong to its content; files without a seal are not judged."""
    end = memoryview(data)[-SIZE:]
    return end[: len(_MARK)] == _MARK and end[len(_MARK) :] != sha256(memoryview(data)[:-SIZE]).digest()
