"""The clothing pipeline, small: photos as files, labels that are partly gone, a run to the end."""

import csv
import re

import numpy as np
import pytest

import mtl_keras as mtl
from pipelines.clothing import archive, files, pipeline


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with 120 of the photos of this repository as `clothing64.npz`."""
    folder = tmp_path_factory.mktemp("clothing")
    archive.read().part(120).write(folder / archive.WHOLE)
    return folder


def rows_of(file):
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_the_photos_of_this_repository():
    whole = archive.read()
    assert len(whole) == archive.PART
    assert archive.EMBEDDED.stat().st_size < 4_000_000
    assert len(set(whole.image_id)) == len(whole)
    assert set(whole.kids) == {0, 1}
    assert len(whole.label_names) == 18
    assert all(whole.photo(index)[:2] == b"\xff\xd8" for index in range(len(whole)))


def test_a_part_keeps_photos_and_labels_together(small):
    whole, part = archive.read(), archive.read(small)
    assert len(part) == 120
    for index in range(len(part)):
        (place,) = np.flatnonzero(whole.image_id == part.image_id[index])
        assert part.photo(index) == whole.photo(place)
        for name in ("label", "kids", "sender"):
            assert getattr(part, name)[index] == getattr(whole, name)[place]


def test_files_have_the_photos_and_half_of_the_kids_labels(small, tmp_path):
    part = archive.read(small)
    rows = rows_of(files.write_files(tmp_path / "one", small, seed=3))
    again = rows_of(files.write_files(tmp_path / "two", small, seed=3))
    other = rows_of(files.write_files(tmp_path / "three", small, seed=4))
    assert rows == again != other
    (broken := tmp_path / "two" / again[0]["path"]).write_bytes(b"")
    whole = (tmp_path / "two" / again[1]["path"]).stat()
    files.write_files(tmp_path / "two", small, seed=3)
    assert broken.read_bytes() == part.photo(0)
    assert (tmp_path / "two" / again[1]["path"]).stat().st_mtime_ns == whole.st_mtime_ns
    assert [row["garment"] for row in rows] == part.label_names[part.label].tolist()
    assert sum(row["kids"] == "" for row in rows) == 60
    for index, row in enumerate(rows):
        assert row["kids"] in ("", ["no", "yes"][part.kids[index]])
        assert (tmp_path / "one" / row["path"]).read_bytes() == part.photo(index)
    whole = rows_of(files.write_files(tmp_path / "one", small, kids_removed=0.0))
    assert [row["kids"] for row in whole] == np.array(["no", "yes"])[part.kids].tolist()


def test_what_is_no_archive_is_named(small, tmp_path):
    (tmp_path / "photo.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "half.npz", jpeg=np.zeros(3, np.uint8))
    content = (small / archive.WHOLE).read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    for name in ("photo.npz", "half.npz", "cut.npz", "missing.npz"):
        path = tmp_path / name
        with pytest.raises(ValueError, match=rf"^Expected an \.npz file with .*path='{re.escape(str(path))}', error="):
            archive.read(path)
    with pytest.raises(ValueError, match=r"^Expected a share of the kids labels from 0, below 1\. .*kids_removed=1"):
        files.write_files(tmp_path, small, kids_removed=1)


@pytest.mark.usefixtures("sizes_left_out")
def test_a_run_from_files_to_a_version_that_answers(small, tmp_path, capsys):
    options = {"epochs": 2, "batch-size": 16, "data": small, "kids-removed": 0.4}
    options |= {"build": tmp_path / "photos", "output": tmp_path / "saved", "runs": tmp_path / "runs"}
    version = pipeline.main([part for name, value in options.items() for part in (f"--{name}", str(value))])
    assert version == tmp_path / "saved" / "1"
    names = ["manifest.json", "model.keras", "model.tflite", "predictions.png", "report.md", "saved_model"]
    assert sorted(path.name for path in version.iterdir()) == [*names, "training.png"]

    manifest = mtl.export.Manifest.read(version)
    manifest.check_files(version)
    assert max(error for errors in manifest.parity.values() for error in errors.values()) <= 1e-5
    printed, report = capsys.readouterr().out, (version / "report.md").read_text(encoding="utf-8")
    table = [line for line in report.splitlines() if line.startswith("| one shared model")]
    assert table[0] in printed.splitlines()
    assert f"{manifest.metrics['garment_accuracy']:.4f}" in table[0]
    assert "Always the most common class of the training photos: garment 0." in report

    rows = rows_of(tmp_path / "photos" / files.CSV)
    trained = re.search(r"Labels to train on: \{'garment': (\d+), 'kids': (\d+)\}", printed)
    assert int(trained[2]) < int(trained[1]) < len(rows)
    answers = mtl.export.Predictor(version).predict(tmp_path / "photos" / rows[0]["path"])
    assert answers["garment"].label in {row["garment"] for row in rows}
    assert answers["kids"].label in ("no", "yes")


def test_every_option_says_what_it_is_for(capsys):
    with pytest.raises(SystemExit):
        pipeline.parse(["--help"])
    # argparse writes the help behind two spaces, or on lines of its own
    options = re.findall(r"^  (--[a-z-]+)(.*(?:\n {10,}.*)*)", capsys.readouterr().out, re.MULTILINE)
    assert len(options) > 12
    assert all(re.search(r"\s{2,}\w[^{]*$", text) for _, text in options)
    assert [name for name, text in options if not re.search(r"\(default:\s", text)] == ["--resume"]
    assert not any("None" in text for _, text in options)
