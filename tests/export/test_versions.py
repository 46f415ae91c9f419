"""Version folders: numbered in order, there whole or not at all, never overwritten, whoever else writes."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from exported import text_of

import mtl_keras as mtl
from mtl_keras.export import Manifest, next_version
from mtl_keras.export._atomic import appearing, become_next_version, workplace


@pytest.mark.parametrize(
    ("there", "following"),
    [
        ([], "1"),
        (["example", "latest", ".unfinished-x", "-3", "2.5", "7a"], "1"),
        (["1", "2", "10"], "11"),  # by number, not by letter
        (["007"], "8"),
        (["٣"], "1"),  # a digit, but none that TensorFlow Serving reads
        (["5", "99.bak"], "6"),
    ],
)
def test_the_next_version_is_above_all_that_are_there(tmp_path, there, following):
    for name in there:
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == tmp_path / following


def test_a_file_with_a_number_for_a_name_counts_too(tmp_path):
    (tmp_path / "4").write_text("")
    assert next_version(tmp_path).name == "5"
    assert next_version(tmp_path / "not there").name == "1"


def test_what_is_written_appears_at_the_end(tmp_path):
    path = tmp_path / "deep" / "model.bin"
    with appearing(path) as unfinished:
        unfinished.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert os.listdir(path.parent) == ["model.bin"]


def test_an_error_leaves_nothing(tmp_path):
    def write():
        with appearing(tmp_path / "model") as unfinished:
            unfinished.mkdir()
            (unfinished / "part").write_bytes(b"1")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write()
    assert os.listdir(tmp_path) == []


def test_nothing_is_overwritten(tmp_path):
    path, link = tmp_path / "model", tmp_path / "link"
    path.write_bytes(b"old")
    link.symlink_to(tmp_path / "nowhere")
    for taken in (path, link):
        with pytest.raises(ValueError, match="free") as error, appearing(taken):
            pytest.fail("the work must not begin")
        assert text_of(error) == (
            f"Expected a path that is free (nothing is overwritten). Received: path={str(taken)!r}."
            " Do choose another, or remove it first."
        )
    assert path.read_bytes() == b"old"


def test_what_another_wrote_meanwhile_stays(tmp_path):
    path = tmp_path / "model"

    def write():
        with appearing(path) as unfinished:
            unfinished.write_bytes(b"mine")
            path.write_bytes(b"theirs")

    with pytest.raises(ValueError, match="free"):
        write()
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["model"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "shop").write_text("")
    for parent in (tmp_path / "shop", tmp_path / "shop" / "deeper"):
        with pytest.raises(ValueError, match="a folder to write to") as error, workplace(parent):
            pytest.fail("the work must not begin")
        assert text_of(error) == (
            f"Expected a folder to write to. Received: path={str(parent)!r}. Do choose another, a file is in the way."
        )


def test_several_writers_get_a_version_each(tmp_path):
    """Eight threads, ten folders each, all to the same place: nothing is lost and nothing mixed."""

    def write(writer):
        found = []
        for number in range(10):
            with workplace(tmp_path) as place:
                unfinished = place / "version"
                unfinished.mkdir()
                (unfinished / "who").write_text(f"{writer}/{number}")
                (unfinished / "again").write_text(f"{writer}/{number}")
                found.append((become_next_version(unfinished, tmp_path).name, f"{writer}/{number}"))
        return found

    with ThreadPoolExecutor(8) as pool:
        written = dict(pair for found in pool.map(write, range(8)) for pair in found)
    assert set(written) == {str(number) for number in range(1, 81)} == set(os.listdir(tmp_path))
    for version, content in written.items():
        assert (tmp_path / version / "who").read_text() == (tmp_path / version / "again").read_text() == content


def test_a_version_is_numbered_and_leaves_the_old_ones_alone(shop, tmp_path):
    folder = tmp_path / "shop"
    old = shop.copy(folder / "1")
    before = {path: path.stat().st_mtime_ns for path in old.rglob("*")}

    def extras(unfinished, manifest):
        assert sorted(os.listdir(unfinished)) == ["model.keras", "model.tflite", "saved_model"]
        (unfinished / "report.md").write_text(f"# {manifest.model}")
        assert not (folder / "2").exists()

    new = mtl.export.write_version(shop.model, folder, extras=extras)
    assert new == folder / "2"
    assert sorted(os.listdir(folder)) == ["1", "2"]
    assert sorted(os.listdir(new)) == ["manifest.json", "model.keras", "model.tflite", "report.md", "saved_model"]
    assert "report.md" in Manifest.read(new).files
    Manifest.read(new).check_files(new)
    assert {path: path.stat().st_mtime_ns for path in old.rglob("*")} == before


def test_a_version_that_fails_leaves_nothing(shop, tmp_path):
    def fail(unfinished, manifest):
        raise RuntimeError("no report")

    with pytest.raises(RuntimeError, match="no report"):
        mtl.export.write_version(shop.model, tmp_path / "shop", extras=fail)
    assert os.listdir(tmp_path / "shop") == []
    with pytest.raises(ValueError, match="outputs within -1 of the Keras model's"):
        mtl.export.write_version(shop.model, tmp_path / "shop", tolerance=-1.0)
    assert os.listdir(tmp_path / "shop") == []
