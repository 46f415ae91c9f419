"""Checkpoints hold every type, are whole or skipped, and only the last ones stay."""

import errno
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from mtl_keras.callbacks import plain
from mtl_keras.callbacks.checkpoints import CheckpointFolder


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_damaged_checkpoints_are_told_from_good_ones(tmp_path, damage):
    folder = CheckpointFolder(tmp_path, keep=2)
    folder.write(1, 0, {}, [("weights", np.zeros(100))])
    newest = folder.write(2, 0, {}, [("weights", np.zeros(100))])
    content = bytearray(newest.read_bytes())
    if damage == "cut":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    elif damage == "empty":
        newest.write_bytes(b"")
    else:
        np.savez(newest, weights=np.zeros(3))
    found, (note,) = folder.latest()
    assert found.epoch == 1
    assert note.startswith(f"skipped {newest}, which is damaged (")


def test_only_the_last_ones_are_kept(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=3)
    for epoch in range(5):
        folder.write(epoch, 0, {}, [])
    assert [path.name for path in folder.files()] == [f"checkpoint-{n:06d}-{0:09d}.npz" for n in (4, 3, 2)]


def test_a_full_disk_spares_what_is_there(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path, keep=2)
    folder.write(1, 0, {}, [])
    folder.write_text("history.csv", "epoch\n0\n")
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for write in (lambda: folder.write(2, 0, {}, []), lambda: folder.write_text("history.csv", "epoch\n0\n1\n")):
        with pytest.raises(OSError, match="Expected room for a checkpoint") as error:
            write()
        assert error.value.errno == errno.ENOSPC
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_checkpoints_keep_every_type(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=1)
    written = {
        "half": np.asarray(tf.constant([1.5, -2.0], tf.bfloat16)),
        "long": np.array(2**60),
        "flags": np.array([[True, False]]),
        "none": np.zeros((0, 3), "float16"),
    }
    folder.write(1, 2, {"text": "ä", "number": float("inf")}, written.items())
    found, notes = folder.latest()
    assert notes == []
    assert (found.epoch, found.step, found.state) == (1, 2, {"text": "ä", "number": float("inf")})
    for name, array in written.items():
        assert plain.same(found.arrays[name], array)


def test_plain_values_come_back_as_they_were():
    value = {
        "best": np.float32(0.1),
        "weights": [np.arange(3), np.zeros((2, 0))],
        "place": (1, "two", None, True),
        3: {"nan": float("nan")},
    }
    arrays = {}
    text = json.dumps(plain.packed(value, arrays, "c"))
    back = plain.unpacked(json.loads(text), arrays)
    assert plain.same(back, value)
    assert type(back["best"]) is np.float32
    assert not plain.is_plain({"function": print})
