"""The whole pipeline, small: every artefact is there, agrees with the model, and can be used."""

import contextlib
import io
import re
import runpy
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mtl_keras as mtl
from pipelines.multi_fashion import idx, pipeline, sources


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run on 60 of the embedded images, and what it printed."""
    place = tmp_path_factory.mktemp("run")
    images, labels = sources.files(sources.EMBEDDED)["test"]
    idx.write(place / "t10k-images-idx3-ubyte", idx.read_images(images)[:60])
    idx.write(place / "t10k-labels-idx1-ubyte", idx.read_labels(labels)[:60])
    options = ["--epochs", "2", "--pairs", "256", "--data", place, "--build", place / "built", "--runs", place / "runs"]
    options += ["--output", place / "saved", "--weighting", "uncertainty"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        version = pipeline.main([str(option) for option in options])
    return place, version, printed.getvalue()


def test_the_version_folder_is_complete(finished):
    place, version, _ = finished
    assert version == place / "saved" / "1"
    expected = [
        "manifest.json",
        "model.keras",
        "model.tflite",
        "predictions.png",
        "report.md",
        "saved_model",
        "training.png",
    ]
    assert sorted(path.name for path in version.iterdir()) == expected
    for picture in ("predictions.png", "training.png"):
        assert tf.io.decode_png((version / picture).read_bytes()).shape[0] > 100


def test_every_artefact_agrees_with_the_model(finished):
    _, version, _ = finished
    manifest = mtl.export.Manifest.read(version)
    manifest.check_files(version)
    assert set(manifest.parity) == {"model.keras", "saved_model", "model.tflite"}
    for errors in manifest.parity.values():
        assert list(errors) == ["top_left", "bottom_right"]
        assert max(errors.values()) <= 1e-5
    assert set(manifest.metrics) >= {"top_left_accuracy", "bottom_right_accuracy", "overall"}


def test_report_and_terminal_show_the_same_table(finished):
    _, version, printed = finished
    report = (version / "report.md").read_text()
    table = [line for line in report.splitlines() if line.startswith("|")][:3]
    assert all(line in printed.splitlines() for line in table)
    metrics = mtl.export.Manifest.read(version).metrics
    values = [f"{metrics[key]:.4f}" for key in ("top_left_accuracy", "bottom_right_accuracy", "overall")]
    assert table[2] == f"| one shared model | {' | '.join(values)} |"
    for text in (printed, report):
        assert "|  | one shared model | 2 models, one per task | saved |" in text
        assert "not trained on their own" in text


def test_progress_reads_well_in_a_file(finished):
    _, _, printed = finished
    # a slow machine has lines within an epoch, too
    lines = [line for line in printed.splitlines() if not re.match(r"Epoch \d/2, step \d/2[:,] ", line)]
    epochs = [line for line in lines if line.startswith("Epoch ")]
    pattern = (
        r"Epoch \d/2, 2 steps in \d+:\d\d: loss [\d.]+; top_left loss [\d.]+ accuracy [\d.]+; .* \| validation loss .*"
    )
    assert len(epochs) == 2
    assert all(re.fullmatch(pattern, line) for line in epochs)
    assert "\r" not in printed
    assert "tensorboard --logdir" in printed


def test_tensorboard_has_loss_metric_and_weight_of_each_task(finished):
    place, _, _ = finished
    (run,) = (place / "runs").iterdir()
    log = EventAccumulator(str(run / "train")).Reload()
    tags = [f"{quantity}/{task}" for quantity in ("loss", "accuracy", "weight") for task in pipeline.dataset.TASKS]
    assert set(tags) <= set(log.Tags()["tensors"])


def test_the_model_answers_by_name(finished):
    _, version, _ = finished
    image = np.random.default_rng(0).integers(0, 256, (36, 36, 1), np.uint8)
    answers = mtl.export.Predictor(version).predict(image)
    model = tf.saved_model.load(str(version / "saved_model")).signatures["all_tasks"]
    outputs = model(image=tf.cast(image, tf.float32)[None] / 255)
    for task, answer in answers.items():
        assert answer.label == pipeline.dataset.FASHION[int(np.argmax(outputs[task]))]
        assert answer.score == pytest.approx(float(np.max(outputs[task])), abs=1e-5)


COUNT = "a whole number of at least 1, not"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--epochs 0", f"argument --epochs: {COUNT} 0"),
        ("--batch-size -3", f"argument --batch-size: {COUNT} -3"),
        ("--pairs many", f"argument --pairs: {COUNT} many"),
        ("--learning-rate nan", "argument --learning-rate: a number above 0, not nan"),
        ("--learning-rate -1", "argument --learning-rate: a number above 0, not -1"),
        ("--seed -1", "argument --seed: a whole number from 0 to 4294967295, not -1"),
        ("--data here --download", "argument --download: not allowed with argument --data"),
    ],
)
def test_wrong_options_end_with_status_2(arguments, text, capsys):
    with pytest.raises(SystemExit) as end:
        pipeline.parse(arguments.split())
    assert end.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: {text}")


def test_every_option_is_explained(capsys):
    with pytest.raises(SystemExit) as end:
        pipeline.parse(["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    words = "epochs batch-size weighting scope trunk seed output data download strategy precision"
    for option in words.split():
        assert re.search(rf"^  --{option}\b[^\n]*?\s{{2,}}\w", printed, re.MULTILINE), option


def test_wrong_files_end_the_process_with_their_message(tmp_path, capsys, monkeypatch):
    command = ["multi_fashion", "--build", tmp_path / "built", "--output", tmp_path / "saved", "--data", tmp_path]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("pipelines.multi_fashion", run_name="__main__")
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "pipelines.multi_fashion: Expected the file t10k-images-idx3-ubyte, or t10k-images-idx3-ubyte.gz, in the "
        f"folder of IDX files. Received: folder='{tmp_path}'. Do add it, or give another folder.\n"
    )


def test_a_run_that_could_not_be_written_does_not_begin(tmp_path):
    (tmp_path / "file").write_text("in the way")
    options = ["--output", str(tmp_path / "file"), "--build", str(tmp_path / "built")]
    tiny.refused(
        lambda: pipeline.main(options),
        f"Expected a folder to write to. Received: path='{tmp_path}/file'. Do choose another, a file is in the way.",
    )
    assert not (tmp_path / "built").exists()
