"""Damaged and foreign artefacts: a clear error or the right answer, never a crash."""

import json
import os
import subprocess
import sys
from pathlib import Path

import damage
import keras
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from exported import text_of

import mtl_keras as mtl
from mtl_keras.cli.loading import load
from mtl_keras.export._runtimes import open_runtime
from mtl_keras.export._seal import is_broken


def outcomes(artefact: Path, part: str, times: int) -> dict[int, list[int]]:
    """`{exit status: seeds}`, see damage.py."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, damage.__file__, str(artefact), part, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return {int(code): seeds for code, seeds in json.loads(done.stdout).items()}


def test_a_damaged_tflite_file_is_refused_without_a_manifest_too(shop):
    found = outcomes(shop.folder / "model.tflite", "", 250)
    assert set(found) <= {damage.ANSWER, damage.REFUSAL}, found
    assert len(found[damage.REFUSAL]) > 240  # the others lost nothing but the mark of the checksum


def test_a_damaged_tflite_file_without_a_checksum_ends_no_process(shop, tmp_path):
    data = (shop.folder / "model.tflite").read_bytes()
    path = tmp_path / "foreign.tflite"
    path.write_bytes(data[:-40])
    found = outcomes(path, "", 100)
    # nothing tells a changed weight from a right one here
    assert set(found) <= {damage.ANSWER, damage.REFUSAL, damage.OTHER_ANSWER}, found
    assert len(found[damage.REFUSAL]) > 50


def test_a_damaged_saved_model_ends_no_process(shop):
    found = outcomes(shop.folder / "saved_model", "saved_model.pb,variables/variables.index", 8)
    assert set(found) <= {damage.ANSWER, damage.REFUSAL}, found
    assert damage.REFUSAL in found


def test_damage_of_any_listed_file_is_found_by_the_manifest(shop, tmp_path):
    folder = shop.copy(tmp_path / "1")
    for name in mtl.export.Manifest.read(folder).files:
        if name == "model.keras":
            continue
        path = folder / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ValueError, match="same checksum"):
            mtl.export.Predictor(folder / name.split("/")[0])
        path.write_bytes(data)


def test_the_checksum_leaves_the_file_readable_elsewhere(shop):
    data = (shop.folder / "model.tflite").read_bytes()
    assert not is_broken(data)
    assert not is_broken(data[:-40])
    assert is_broken(data[:-1] + b"x")
    # a reader that knows nothing of the checksum
    runner = Interpreter(model_content=data).get_signature_runner("task_price")
    assert set(runner.get_output_details()) == {"price"}


@pytest.mark.parametrize(
    ("content", "begins"), [(b"", b""), (b"TFL3", b"TFL3"), (b"\x89PNG\r\n\x1a\n....", b"\x89PNG\r\n\x1a\n")]
)
def test_what_is_no_tflite_file_is_refused(tmp_path, content, begins):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="LiteRT") as error:
        open_runtime(path)
    assert text_of(error) == (
        f"Expected a LiteRT file. Received: path={str(path)!r}, begins={begins!r}. Do export the model again."
    )


def test_a_changed_tflite_file_is_named(shop, tmp_path):
    path = tmp_path / "model.tflite"
    data = bytearray((shop.folder / "model.tflite").read_bytes())
    data[5000] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match="as it was exported") as error:
        open_runtime(path)
    assert text_of(error) == (
        f"Expected a LiteRT file as it was exported. Received: path={str(path)!r}, checksum='wrong'. Do export again."
    )


def test_tflite_files_of_others_need_signatures(tmp_path):
    path = tmp_path / "model.tflite"
    add = tf.function(lambda x: x + 1.0, input_signature=[tf.TensorSpec((1, 2))])
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([add.get_concrete_function()]).convert())
    with pytest.raises(ValueError, match="signatures") as error:
        open_runtime(path)
    assert text_of(error) == (
        f"Expected a LiteRT file with signatures. Received: path={str(path)!r}."
        " Do export it with mtl_keras.export.litert."
    )


def test_a_folder_that_is_no_saved_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"saved_model\.pb") as error:
        open_runtime(tmp_path)
    assert text_of(error) == (
        f"Expected a SavedModel folder (saved_model.pb). Received: path={str(tmp_path)!r}. Do check the path."
    )
    with pytest.raises(ValueError, match="a SavedModel folder") as error:
        open_runtime(tmp_path / "nowhere")
    assert text_of(error) == (
        "Expected a .tflite file, a SavedModel folder or a .keras file."
        f" Received: path={str(tmp_path / 'nowhere')!r}. Do check the path."
    )


def test_saved_models_of_others_need_signatures(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "bare"))
    with pytest.raises(ValueError, match="signatures") as error:
        open_runtime(tmp_path / "bare")
    assert text_of(error) == (
        f"Expected a SavedModel with signatures. Received: path={str(tmp_path / 'bare')!r}."
        " Do export it with mtl_keras.export.saved_model."
    )


def test_no_code_of_a_keras_file_is_run(tmp_path):
    """A Lambda layer carries code of its own: in safe mode the file is refused before that runs."""
    x = keras.Input((2,), name="x")
    trap = tmp_path / "trap"
    model = keras.Model(x, {"a": keras.layers.Lambda(lambda v, path=str(trap): [open(path, "w").close(), v][1])(x)})
    path = tmp_path / "model.keras"
    model.save(path)
    trap.unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"a \.keras file that loads\.") as error:
        load(path)
    assert "Lambda" in text_of(error)
    with pytest.raises(ValueError, match=r"a \.keras file that loads again"):
        mtl.export.parity(keras.Model(x, {"a": x}), path)
    assert not trap.exists()
