"""The Omniglot pipeline, small: alphabets as tasks, each drawing with one label, a run to the end."""

import re
from dataclasses import asdict

import numpy as np
import pytest

import mtl_keras as mtl
from pipelines.omniglot import alphabets, pipeline


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """An .npz file with five characters of each of three alphabets."""
    whole = asdict(alphabets.read())
    rows = (whole["character"] < 5) & (whole["alphabet"] < 3)
    part = {name: values[rows] if len(values) == len(rows) else values for name, values in whole.items()}
    path = tmp_path_factory.mktemp("omniglot") / "few.npz"
    np.savez_compressed(path, **{**part, "alphabet_names": whole["alphabet_names"][:3], "n_characters": np.full(3, 5)})
    return path


def test_the_drawings_of_this_repository():
    drawings = alphabets.read()
    assert alphabets.EMBEDDED.stat().st_size < 1_000_000
    assert len(drawings.image) == 4_840
    for index, count in enumerate(drawings.n_characters):
        mine = drawings.alphabet == index
        assert set(drawings.character[mine]) == set(range(count))
        assert np.bincount(drawings.drawer[mine]).tolist() == [count] * alphabets.DRAWERS


def test_each_drawing_is_labelled_for_its_alphabet_by_its_character(few):
    drawings = alphabets.read(few)
    place = {image.tobytes(): index for index, image in enumerate(drawings.image)}
    source = alphabets.mixed(path=few)
    assert source.sizes == {"train": 210, "val": 30, "test": 60}
    assert set(source.label_counts("test").values()) == {20}
    seen = {}
    for split, drawers in alphabets.SPLIT_OF_DRAWER.items():
        for x, y, w in source.batches(100, split=split):
            for row, image in enumerate(np.rint(x.numpy()[..., 0] * 255).astype(np.uint8)):
                index = place[image.tobytes()]
                (task,) = [name for name in source.task_names if w[name][row]]
                assert task == alphabets.task_name(str(drawings.alphabet_names[drawings.alphabet[index]]))
                assert int(y[task][row]) == drawings.character[index]
                assert drawings.drawer[index] in drawers
                seen[index] = split
    assert len(seen) == len(drawings.image)


def test_what_is_no_file_of_drawings_is_named(few, tmp_path):
    (tmp_path / "text.npz").write_bytes(b"no archive")
    (tmp_path / "cut.npz").write_bytes(few.read_bytes()[:3000])
    np.savez(tmp_path / "half.npz", image=np.zeros((1, 35, 35), np.uint8))
    for name in ("text.npz", "cut.npz", "half.npz", "missing.npz"):
        path = tmp_path / name
        with pytest.raises(ValueError, match=rf"^Expected an \.npz file with image, .*path='{re.escape(str(path))}'"):
            alphabets.read(path)
    whole = asdict(alphabets.read(few))
    np.savez(tmp_path / "short.npz", **{**whole, "drawer": whole["drawer"][:-1]})
    with pytest.raises(ValueError, match=r"^Expected as many labels as images of 35x35 pixels\. .*'drawer': 299"):
        alphabets.read(tmp_path / "short.npz")


@pytest.mark.usefixtures("sizes_left_out")
def test_a_run_to_a_version_that_answers(few, tmp_path, capsys):
    options = {"epochs": 1, "batch-size": 32, "data": few, "by": "2", "output": tmp_path / "saved"}
    options["runs"] = tmp_path / "runs"
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    version = pipeline.main([*arguments, "--alphabet-per-batch"])
    names = ["manifest.json", "model.keras", "model.tflite", "predictions.png", "report.md", "saved_model"]
    assert sorted(path.name for path in version.iterdir()) == [*names, "training.png"]
    manifest = mtl.export.Manifest.read(version)
    assert max(error for errors in manifest.parity.values() for error in errors.values()) <= 1e-5
    assert "'greek': 70" in capsys.readouterr().out
    drawing = alphabets.read(few).image[0]
    answers = mtl.export.Predictor(version).predict(drawing[..., None])
    assert list(answers) == ["balinese", "early_aramaic", "greek"]
    assert answers["greek"].label in {"1", "2", "3", "4", "5"}


@pytest.mark.parametrize(("given", "meant"), [("size", "size"), ("uniform", "uniform"), ("2.5", 2.5)])
def test_shares_on_the_command_line(given, meant):
    assert pipeline.parse(["--by", given]).by == meant


def test_other_shares_are_refused(capsys):
    with pytest.raises(SystemExit):
        pipeline.parse(["--by", "large"])
    assert "size, uniform or a temperature, not large" in capsys.readouterr().err
