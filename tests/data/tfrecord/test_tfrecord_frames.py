"""Frames: every byte of a file is accounted for, and nothing of it is believed."""

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from record_files import write

from mtl_keras.data.tfrecord.frames import FOOTER, HEADER, frames, masked_crc

RECORDS = [bytes([n]) * (n * 7 % 40) for n in range(30)]


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "a.tfrecord", RECORDS)


def start(number):
    """Where the frame of a record begins."""
    return sum(HEADER + len(record) + FOOTER for record in RECORDS[:number])


def changed(path, at, value=None):
    """The file with one byte other than it was, or cut off there."""
    data = bytearray(Path(path).read_bytes())
    if value is None:
        data = data[:at]
    else:
        data[at] ^= value
    Path(path).write_bytes(data)
    return path


def test_whole_files_plain_and_packed(tmp_path, path):
    packed = write(tmp_path / "a.tfrecord.gz", RECORDS, "GZIP")
    for file in (path, packed):
        found = list(frames(file))
        assert [frame.record for frame in found] == RECORDS
        assert [frame.number for frame in found] == list(range(30))
        assert not any(frame.damage or frame.ends for frame in found)
    content = Path(path).read_bytes()
    for frame in frames(path):
        assert content[frame.offset : frame.offset + len(frame.record)] == frame.record
    assert list(frames(write(tmp_path / "empty", []))) == []


def test_the_checksum_is_tensorflows_own(path):
    content = Path(path).read_bytes()
    assert struct.unpack("<I", content[8:12])[0] == masked_crc(content[:8])


def test_a_damaged_record_costs_only_itself(path):
    found = list(frames(changed(path, start(5) + HEADER + 2, 1)))
    assert [frame.record for frame in found] == [*RECORDS[:5], None, *RECORDS[6:]]
    assert found[5].damage == "a record with the right checksum"
    assert not found[5].ends


@pytest.mark.parametrize(
    ("at", "value", "damage"),
    [
        (start(5), 1, "a record whose length has the right checksum"),
        (start(5) + 9, 128, "a record whose length has the right checksum"),
        (start(5) + 3, None, "a whole record: the file is cut off"),
        (start(5) + HEADER + 4, None, "a whole record: the file is cut off"),
        (start(6) - 1, None, "a whole record: the file is cut off"),
    ],
)
def test_behind_a_damaged_length_nothing_is_found(path, at, value, damage):
    found = list(frames(changed(path, at, value)))
    assert [frame.record for frame in found] == [*RECORDS[:5], None]
    assert found[-1].damage == damage
    assert found[-1].ends


def test_a_length_beyond_the_file_is_not_believed(tmp_path):
    """Memory for it must not be asked for, even where its checksum is right."""
    length = struct.pack("<Q", 2**60)
    file = tmp_path / "bomb"
    file.write_bytes(length + struct.pack("<I", masked_crc(length)) + b"x" * 100)
    (found,) = frames(file)
    assert found.damage == "a whole record: the file is cut off"


def test_a_packed_file_that_cannot_be_unpacked_ends_there(tmp_path):
    packed = Path(write(tmp_path / "a.gz", [np.random.default_rng(n).bytes(400) for n in range(30)], "GZIP"))
    whole = packed.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:300] + b"\0" * 40 + whole[340:], b"no gzip at all"):
        packed.write_bytes(damaged)
        found = list(frames(packed))
        assert found[-1].ends
        assert found[-1].damage
        assert all(frame.record is not None for frame in found[:-1])


def test_a_file_that_is_not_there(tmp_path):
    for path, reason in ((tmp_path / "no", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ValueError, match="Expected") as caught:
            list(frames(path))
        assert str(caught.value) == (
            f"Expected a TFRecord file that can be read. Received: file='{path}', error='{reason}'. "
            "Do correct the path."
        )


def test_fuzz_every_record_is_given_or_reported(tmp_path):
    """Two hundred damaged files: no crash, no hang, and what is given is what was written."""
    rng = np.random.default_rng(0)
    file = tmp_path / "a.tfrecord"
    content = Path(write(file, RECORDS)).read_bytes()
    for turn in range(200):
        data = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            kind, at = rng.integers(4), int(rng.integers(len(data)))
            if kind == 0:
                data[at] = rng.integers(256)
            elif kind == 1:
                del data[at : at + int(rng.integers(1, 30))]
            elif kind == 2:
                data[at:at] = rng.bytes(int(rng.integers(1, 30)))
            else:
                del data[at + 1 :]
        file.write_bytes(data)
        found = list(frames(file))
        given = [frame.record for frame in found if frame.record is not None]
        assert all(record in RECORDS for record in given)
        whole = not any(frame.ends for frame in found)
        read = sum(HEADER + len(frame.record or b"") + FOOTER for frame in found)
        if bytes(data) != content and not any(frame.damage for frame in found):
            assert read == len(data)  # cut exactly between two records
        if whole and not any(frame.damage for frame in found):
            assert given == RECORDS[: len(given)] or len(given) != len(RECORDS)
        if turn % 10:
            continue
        theirs = []  # TensorFlow's own reader finds no record that was not given
        with contextlib.suppress(tf.errors.DataLossError):
            theirs.extend(record.numpy() for record in tf.data.TFRecordDataset(str(file)))
        assert theirs == given[: len(theirs)]
