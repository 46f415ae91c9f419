"""What a .tflite file says of itself, and what is said of files that are damaged or come from elsewhere."""

import shutil
import subprocess
import zipfile

import numpy as np
import pytest
from export_graphs import batch, with_heads

from mtl_keras.export import Predictor, litert, read_metadata


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("metadata") / "model.tflite"
    litert(with_heads(), path, before={"scale": 1 / 255, "pixels": "RGB"}, tasks=["extras", "price"])
    return path


def test_a_file_describes_its_tasks_and_inputs(path):
    about = read_metadata(path)
    assert about.tasks == {
        "extras": {"kind": "multilabel", "labels": ["belt", "hood"], "thresholds": [0.3, 0.6], "shape": [2]},
        "price": {"kind": "regression", "units": ["EUR"], "mean": [400.0], "std": [90.0], "shape": [1]},
    }
    assert about.inputs == {"photo": {"shape": [12, 12, 3], "dtype": "float32"}}
    assert about.preprocessing["before"] == {"photo": {"scale": 1 / 255, "pixels": "RGB"}}
    assert about.signatures == {
        "all_tasks": ["extras", "price"],
        "task_extras": ["extras"],
        "task_price": ["price"],
    }
    assert about.files == {}
    assert about.commit is None


def test_pixels_inside_the_file_are_no_longer_the_callers_task(tmp_path):
    litert(with_heads(), tmp_path / "p.tflite", before={"scale": 1 / 255}, pixels=True)
    about = read_metadata(tmp_path / "p.tflite")
    assert about.inputs["photo"]["dtype"] == "uint8"
    assert about.preprocessing["before"] == {}
    assert about.preprocessing["in_graph"]["pixels"] == {"photo": {"scale": 1 / 255}}


def test_a_predictor_needs_the_file_alone(path):
    pixels = np.full((12, 12, 3), 128, np.uint8)
    answer = Predictor(path).predict(pixels)
    assert answer["price"].unit == "EUR"
    assert list(answer["extras"].scores) == ["belt", "hood"]
    scaled = Predictor(path).predict(pixels.astype("float32") / 255)
    assert answer["price"].value == pytest.approx(scaled["price"].value, rel=1e-6)


def test_other_tools_read_it(path):
    if shutil.which("unzip") is None:
        pytest.skip("unzip is not installed")
    done = subprocess.run(["unzip", "-p", path, "mtl_keras.json"], capture_output=True, text=True, check=False)
    assert '"labels": ["belt", "hood"]' in done.stdout


def test_files_without_metadata_have_none(path, tmp_path):
    bare = tmp_path / "bare.tflite"
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[0].header_offset
    bare.write_bytes(path.read_bytes()[:start])
    assert read_metadata(bare) is None
    assert Predictor(bare).outputs(batch(with_heads()))["price"].shape == (8, 1)
    with zipfile.ZipFile(bare, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    assert read_metadata(bare) is None
    assert read_metadata(tmp_path / "missing.tflite") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expected a manifest.json that can be read. "),
        ("[]", "Expected a manifest of schema 1. "),
        ('{"schema": 99}', "Expected a manifest of schema 1. "),
        ('{"schema": 1, "model": 3}', "Expected a manifest with all its parts. "),
        (b"\xff\xfe", "Expected a file whose metadata can be read. "),
    ],
)
def test_damaged_metadata_is_refused_by_name(tmp_path, text, said):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\0\0\0\0TFL3")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mtl_keras.json", text)
    with pytest.raises(ValueError, match=r"^Expected ") as error:
        read_metadata(path)
    assert str(error.value).startswith(said)
    assert str(path) in str(error.value)
    assert " Do " in str(error.value)
