"""The gate: what each task loses is measured through the real runtime, and a file that ruins a task is not kept."""

import json
import re

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from fragile import fragile, labelled

import mtl_keras as mtl
from mtl_keras.cli import main
from mtl_keras.export import Manifest, Predictor, quantize
from mtl_keras.export._gate_report import drop

L = keras.layers


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The fragile model, its data, the folder and the report of the gate."""
    model = fragile()
    data = labelled(model)
    folder = tmp_path_factory.mktemp("gate") / "small"
    return model, data, folder, quantize(model, folder, data, ["float16", "int8"], {"coarse": 5}, rounds=3, examples=50)


def test_a_file_that_ruins_a_task_is_refused_and_not_kept(judged):
    _, _, folder, report = judged
    ruined = report.result("int8")
    assert ruined.over == ("fine",)
    assert ruined.drops["fine"] > 10
    assert abs(ruined.drops["coarse"]) <= 5
    assert not ruined.passed
    # the largest error alone would not tell which task it is, nor what it costs
    assert report.chosen == "float16"
    assert sorted(path.name for path in folder.iterdir()) == [
        "model_float16.tflite",
        "quantization.json",
        "quantization.md",
        "quantization.png",
    ]
    assert report.files == {"float16": folder / "model_float16.tflite"}


def test_metrics_are_those_of_evaluate_missing_labels_included(judged):
    model, (x, y), folder, report = judged
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert report.best == {"fine": ("accuracy", "max"), "coarse": ("mae", "min")}
    assert report.reference == pytest.approx({"fine": logs["fine_accuracy"], "coarse": logs["coarse_mae"]}, rel=1e-5)
    assert report.reference["fine"] == 1.0
    assert report.examples == 150
    outputs = Predictor(folder / "model_float16.tflite").outputs(x)
    known = y["fine"] >= 0
    accuracy = np.mean(outputs["fine"].argmax(axis=-1)[known] == y["fine"][known])
    assert report.result("float16").metrics["fine"] == pytest.approx(accuracy)
    worst = np.abs(outputs["fine"] - model.predict(x, verbose=0)["fine"]).max()
    assert report.result("float16").errors["fine"] == pytest.approx(worst, rel=1e-3)


def test_what_is_written_says_it_all(judged):
    _, _, folder, report = judged
    content = json.loads((folder / "quantization.json").read_text())
    assert content["chosen"] == "float16"
    assert content["max_drop"] == {"fine": 0.5, "coarse": 5.0}
    int8 = next(row for row in content["results"] if row["preset"] == "int8")
    assert int8["over"] == ["fine"]
    assert set(int8["latency"]) == {"1", "2"}
    assert int8["memory"] is None or int8["memory"] > 0
    text = (folder / "quantization.md").read_text()
    assert "Chosen: `float16`" in text
    assert re.search(r"^\| int8 \|.*\| refused: fine \|$", text, re.MULTILINE)
    assert re.search(r"^\| fine \| accuracy \| 0.5 \| 1.0000 \|.*!", text, re.MULTILINE)
    assert (folder / "quantization.png").read_bytes().startswith(b"\x89PNG")
    rows = {row[0]: row for row in report.summary()[1]}
    assert rows["float32"][-1] == "to compare with"
    assert rows["float32"][2] == "1.000"
    assert rows["float16"][-1] == "chosen"


def test_the_smallest_that_passes_is_chosen_and_the_limit_decides(judged, tmp_path):
    model, data, _, _ = judged
    report = quantize(model, tmp_path / "loose", data, "auto", {"fine": 100, "coarse": 5}, rounds=1, examples=50)
    sizes = {row.preset: row.bytes for row in report.results}
    assert set(sizes) == {"float32", "float16", "dynamic", "int8"}
    assert report.chosen == min(report.candidates, key=sizes.get) != "float16"
    assert set(report.files) == {"float16", "dynamic", "int8"}


def test_a_preset_without_a_form_is_a_row_and_no_error(tmp_path):
    x = keras.Input((4,), name="x")
    less = L.Lambda(lambda v: -v, output_shape=(4,), name="less")(x)
    model = mtl.MultiTaskModel(x, {"a": L.Dense(1, name="a")(less)})
    model.compile("adam", loss={"a": "mse"}, metrics={"a": ["mae"]})
    data = (np.ones((4, 4), "float32"), {"a": np.ones(4, "float32")})
    report = quantize(model, tmp_path / "out", data, ["int8_full", "float32"], 5, rounds=1)
    assert "layers=['less']" in report.result("int8_full").refused
    assert report.chosen == "float32"
    assert "- `int8_full`: Expected operations that LiteRT has in 8 bits." in report.markdown()


def test_drops_are_points_or_percent():
    assert drop(0.9, 0.895, "max") == pytest.approx(0.5)
    assert drop(4.0, 4.02, "min") == pytest.approx(0.5)
    assert drop(4.0, 3.0, "min") == -25.0
    assert drop(0.0, 0.1, "min") == np.inf


def test_what_is_refused(judged, tmp_path):
    model, (x, y), folder, _ = judged

    def refused(*arguments, **named):
        with pytest.raises(ValueError, match=r"^Expected .*\. Received: .*\. Do .*\.$") as error:
            quantize(*arguments, **named)
        return str(error.value)

    plain = keras.Model(model.input, dict(model.output))
    assert refused(plain, tmp_path / "a", (x, y)) == (
        "Expected a compiled MultiTaskModel, whose metrics say what a task loses. "
        "Received: model='Functional', compiled=False. Do build it as mtl_keras.MultiTaskModel and compile it."
    )
    assert refused(model, tmp_path / "a", (x, y), []) == (
        "Expected at least one preset. Received: presets=[]. Do pass presets='auto'."
    )
    assert refused(model, tmp_path / "a", (x, y), max_drop={"hue": 1}) == (
        "Expected limits of the trained tasks ['fine', 'coarse']. Received: task='hue'. Do correct the name."
    )
    assert refused(model, tmp_path / "a", (x, y), max_drop=-1) == (
        "Expected a finite limit of at least 0 for task 'fine'. Received: max_drop=-1. Do pass max_drop=0.5."
    )
    assert refused(model, folder, (x, y)).startswith("Expected a path that is free (nothing is overwritten).")
    assert refused(model, tmp_path / "a", (x, {"fine": y["fine"]}), ["float16"]).startswith(
        "Expected labels of every trained task ['fine', 'coarse']. Received: keys=['fine']."
    )
    wrong = {**y, "fine": np.full(len(x), 3)}
    said = refused(model, tmp_path / "a", (x, wrong), ["float16"])
    assert "labels of task 'fine' that are whole numbers from 0 to 2" in said
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_exports_what_passes(judged, tmp_path, capsys):
    model, (x, y), _, _ = judged
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=x, **y)
    command = ["export", str(tmp_path / "model.keras"), "--out", str(tmp_path / "out")]
    data = ["--data", str(tmp_path / "data.npz")]
    with pytest.raises(SystemExit) as ended:
        main(
            [*command, *data, "--preset", "float16", "--preset", "int8", "--max-drop", "0.5", "--max-drop", "coarse=5"]
        )
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "refused: fine" in said
    assert re.search(r"Chosen: `float16`, [\d,]+ bytes, 0\.\d{3} of float32\.", said)
    assert "model_float16.tflite: largest error against the Keras model: fine " in said
    version = tmp_path / "out" / "1"
    assert sorted(file.name for file in version.glob("*.tflite")) == ["model.tflite", "model_float16.tflite"]
    manifest = Manifest.read(version)
    manifest.check_files(version)
    assert set(manifest.parity["model_float16.tflite"]) == {"fine", "coarse"}
    assert Interpreter(str(version / "model_float16.tflite")).get_signature_list()

    with pytest.raises(SystemExit) as ended:
        main([*command, *data, "--preset", "int8", "--max-drop", "5"])
    assert ended.value.code == 1
    caught = capsys.readouterr()
    assert "mtl-keras: Expected a preset that keeps every task within its limit. Received: int8=['fine']." in caught.err
    assert "refused: fine" in caught.out
    assert "None of int8 keeps every task within its limit." in caught.out
    assert not (tmp_path / "out" / "2").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "int8"], "Expected --data, to measure quantized files on. Received: preset=\"['int8']\"."),
        (["--data", "d.npz", "--max-drop", "much"], "Expected --max-drop as a number or task=number. "),
    ],
)
def test_the_command_line_refuses_by_name(judged, tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    judged[0].save(tmp_path / "model.keras")
    with pytest.raises(SystemExit) as ended:
        main(["export", "model.keras", "--out", "out", *options])
    assert ended.value.code == 1
    assert said in capsys.readouterr().err
