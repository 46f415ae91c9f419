"""The IDX reader: hand-made files are read whole, every damage is told by name, no byte makes it fail otherwise."""

import gzip
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.multi_fashion import idx

AGAIN = "Do download the file again, it is cut off or damaged."


def image_bytes(count=2):
    """An IDX file of images, by hand: pixel p of image n is (n + p) % 256."""
    pixels = bytes((n + p) % 256 for n in range(count) for p in range(784))
    return struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + pixels


def label_bytes(labels=(3, 0, 9)):
    """An IDX file of labels, by hand."""
    return struct.pack(">4BI", 0, 0, 8, 1, len(labels)) + bytes(labels)


def written(tmp_path, content, name="file"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_images_by_hand(tmp_path, pack):
    images = idx.read_images(written(tmp_path, pack(image_bytes())))
    assert (images.dtype, images.shape) == (np.uint8, (2, 28, 28))
    assert images[0, 0, :3].tolist() == [0, 1, 2]
    assert images[1, 27, 27] == (1 + 783) % 256
    images[0, 0, 0] = 1  # the array belongs to the caller


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_labels_by_hand(tmp_path, pack):
    labels = idx.read_labels(written(tmp_path, pack(label_bytes())))
    assert labels.dtype == np.int64
    assert labels.tolist() == [3, 0, 9]


@pytest.mark.parametrize("name", ["plain", "packed.gz"])
def test_written_files_are_the_bytes_of_the_format(tmp_path, name):
    path = tmp_path / name
    idx.write(path, np.array([3, 0, 9]))
    content = path.read_bytes()
    assert (gzip.decompress(content) if name.endswith(".gz") else content) == label_bytes()


def broken(content, error):
    """The content of a file, and the error of `read_images` behind the path."""
    return pytest.param(content, error)


WHOLE = image_bytes()
PACKED = gzip.compress(WHOLE, mtime=0)  # the time would be part of the names of tests


@pytest.mark.parametrize(
    ("content", "expected", "received"),
    [
        (b"", "an IDX file of images of 28x28 pixels, which begins with 00000803", "begins=''"),
        (label_bytes(), "an IDX file of images of 28x28 pixels, which begins with 00000803", "begins='00000801'"),
        (b"\x89PNG\r\n", "an IDX file of images of 28x28 pixels, which begins with 00000803", "begins='89504e47'"),
        # 0d: floating point numbers instead of unsigned bytes
        (b"\0\0\x0d\3" + WHOLE[4:], "an IDX file of images of 28x28 pixels, which begins with 00000803", "0d03'"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 1, 14, 56) + bytes(784), "images of 28x28 pixels", "size=(14, 56)"),
    ],
)
def test_the_wrong_file(tmp_path, content, expected, received):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=re.escape(f"Expected {expected}. Received: path='{path}'")) as caught:
        idx.read_images(path)
    assert f"{received}. Do give the right file." in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected", "received"),
    [
        (WHOLE[:15], "a header of 16 bytes", "bytes=15"),
        (WHOLE[:16], "1584 bytes after unpacking, as the header says", "bytes=16"),  # 16 + 2 * 784
        (WHOLE[:-1], "1584 bytes after unpacking, as the header says", "bytes=1583"),
        (WHOLE + b"\0", "1584 bytes after unpacking, as the header says", "bytes=1585"),
        (gzip.compress(WHOLE + b"\0", mtime=0), "1584 bytes after unpacking, as the header says", "bytes=1585"),
        # a count of 2^32 - 1 images must not be believed, nor allocated
        (b"\0\0\x08\3\xff\xff\xff\xff" + WHOLE[8:], f"{16 + (2**32 - 1) * 784} bytes after", "bytes=1584"),
        (PACKED[:-9], "a whole gzip file", "error='Compressed file ended before the end-of-stream marker was reached'"),
        (PACKED[:5], "a whole gzip file", "error='Compressed file ended before the end-of-stream marker was reached'"),
        (PACKED + b"tail", "a whole gzip file", "error=\"Not a gzipped file (b'ta')\""),
        (PACKED[:-8] + bytes(4) + PACKED[-4:], "a whole gzip file", "error='CRC check failed"),
        (PACKED[:10] + b"\xff" * 9 + PACKED[19:], "a whole gzip file", "error='Error -3 while decompressing data"),
    ],
)
def test_damage(tmp_path, content, expected, received):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=re.escape(f"Expected {expected}")) as caught:
        idx.read_images(path)
    assert f". Received: path='{path}', {received}" in str(caught.value)
    assert str(caught.value).endswith(AGAIN)


def test_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "absent"
    error = f"Expected an IDX file that can be read. Received: path='{path}', error='No such file or directory'."
    for read in (idx.read_images, idx.read_labels):
        with pytest.raises(ValueError, match=f"^{re.escape(error + ' Do check the path.')}$"):
            read(path)
    with pytest.raises(ValueError, match="error='Is a directory'"):
        idx.read_images(tmp_path)


def test_a_label_out_of_range(tmp_path):
    path = written(tmp_path, label_bytes([1, 9, 10, 255]))
    error = f"Expected labels from 0 to 9. Received: path='{path}', row=2, label=10. Do give the right file."
    with pytest.raises(ValueError, match=f"^{re.escape(error)}$"):
        idx.read_labels(path)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), packed=st.booleans(), labels=st.booleans())
def test_no_bytes_make_it_fail_otherwise(tmp_path_factory, data, packed, labels):
    """Changed, cut and lengthened files give the array that the header promises or an error that names the file."""
    content = label_bytes() if labels else image_bytes(1)
    content = bytearray(gzip.compress(content) if packed else content)
    for _ in range(data.draw(st.integers(0, 3))):
        # half of the changes hit the header, where they do most
        end = data.draw(st.sampled_from([min(24, len(content)), len(content)]))
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    content += data.draw(st.binary(max_size=3))
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(content)
    array, said = None, ""
    try:
        array = idx.read_labels(path) if labels else idx.read_images(path)
    except ValueError as error:
        said = str(error)
    if array is None:
        assert re.fullmatch(r"Expected .+\. Received: path='.+mutated', .+\. Do .+\.", said, re.DOTALL)
    else:
        assert array.shape == ((3,) if labels else (1, 28, 28))
        assert not labels or set(array) <= set(range(10))
