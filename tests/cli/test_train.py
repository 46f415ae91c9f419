"""`mtl-keras train`: from a CSV file to a version folder that says how to do it again."""

import csv
import json
import re

import numpy as np
import pytest
import yaml
from cli.shop import write_shop
from cli.test_cli import run

import mtl_keras as mtl
from mtl_keras.cli.train_config import TrainConfig
from mtl_keras.cli.train_run import augmentations, make_trunk
from mtl_keras.images import ImageFormat


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run on sixty photos, one of them broken."""
    place = tmp_path_factory.mktemp("train")
    write_shop(place)
    (place / "photos" / "7.jpg").write_bytes(b"no photo")
    return place


def arguments(place, *more):
    options = {"--csv": place / "shop.csv", "--image": "path", "--root": place / "photos", "--size": 16, "--epochs": 2}
    options |= {"--batch-size": 8, "--learning-rate": 0.01, "--runs": place / "runs", "--out": place / "saved"}
    tasks = ["--task", "colour", "--task", "price:number", "--task", "tags:multilabel"]
    return ["train", *(part for option in options.items() for part in option), *tasks, *more]


def test_from_a_csv_file_to_a_model_and_back(trained, capsys, monkeypatch):
    # files of each task alone are written and compared in the test of a pipeline, which ends in the same step
    monkeypatch.setattr("mtl_keras.finished_run.compare_with_single_tasks", lambda model: (None, None))
    status, out, err = run(capsys, *arguments(trained))
    assert (status, out) == (1, "")
    assert "Expected an image file (JPEG, PNG, BMP, GIF or WebP)" in err
    assert "row=9, column='path', value='7.jpg', bad_rows=1." in err
    assert not (trained / "runs").exists()

    status, out, _ = run(capsys, *arguments(trained, "--skip-bad", "--augment", "flip", "--stratify", "colour"))
    assert status == 0
    version = trained / "saved" / "1"
    assert {path.name for path in version.iterdir()} == {
        "config.yaml", "left_out.csv", "manifest.json", "model.keras", "model.tflite", "predictions.png", "report.md",
        "saved_model", "training.png",
    }  # fmt: skip
    listed = list(csv.DictReader((version / "left_out.csv").read_text().splitlines()))
    assert [(row["row"], row["value"]) for row in listed] == [("9", "7.jpg")]
    report = (version / "report.md").read_text()
    for part in (
        "60 rows in", "- 1 left out: path: an image file", "| tags | multilabel | 2 |",
        "| test | colour accuracy | price mae | tags f1 | overall |", "Always giving the most common class",
    ):  # fmt: skip
        assert part in report, part
    # three quarters of sixty have a colour, the broken photo is one of them
    counts = re.search(r"\| colour \| class \| 3 \| (\d+) \| (\d+) \| (\d+) \|", report).groups()
    assert sum(map(int, counts)) == 44
    assert next(line for line in out.splitlines() if line.startswith("| one shared model |")) in report
    assert "Epoch 2/2" in out
    assert len(list((trained / "runs").glob("saved-*/config.yaml"))) == 1

    manifest = mtl.export.Manifest.read(version)
    assert manifest.tasks["colour"]["labels"] == ["blue", "green", "red"]
    assert manifest.preprocessing["before"]["image"]["image"] == ImageFormat(16, 16).describe()
    answer = mtl.export.Predictor(version).predict(trained / "photos" / "3.jpg")
    assert set(answer) == {"colour", "price", "tags"}

    config = yaml.safe_load((version / "config.yaml").read_text())
    assert config["tasks"] == {
        "colour": {"kind": "class"}, "price": {"kind": "number"}, "tags": {"kind": "multilabel"},
    }  # fmt: skip
    assert (config["epochs"], config["augment"], config["skip_bad"], config["trunk"]) == (2, ["flip"], True, "small")
    # the saved configuration is the whole run: the same numbers come out of it, also where it can be taken up again
    deterministic = []  # it would be so for all later tests
    monkeypatch.setattr("tensorflow.config.experimental.enable_op_determinism", lambda: deterministic.append(True))
    status, _, _ = run(capsys, "train", "--config", version / "config.yaml", "--resume", trained / "first")
    assert (status, deterministic) == (0, [True])
    assert {path.name for path in (trained / "first").iterdir()} == {
        "checkpoints", "config.yaml", "left_out.csv", "train", "validation",
    }  # fmt: skip
    assert (trained / "first" / "checkpoints" / "checkpoint-000002-000000000.npz").is_file()
    again = json.loads((trained / "saved" / "2" / "manifest.json").read_text())
    assert again["metrics"] == pytest.approx(manifest.metrics, rel=1e-4)

    # and the examples to evaluate on
    status, out, _ = run(capsys, "evaluate", version / "model.keras", version / "config.yaml", "--json")
    assert status == 0
    found = json.loads(out)
    assert {key: found[key] for key in manifest.metrics} == pytest.approx(manifest.metrics, rel=1e-4)
    # and the data to judge a quantized file on, which does to photos what the model was trained with
    command = ["export", version / "model.keras", "--out", trained / "small", "--preset", "int8", "--max-drop", 100]
    status, out, _ = run(capsys, *command, "--data", version / "config.yaml")
    assert status == 0
    assert f"Preprocessing as in {version / 'manifest.json'}" in out
    small = mtl.export.Predictor(trained / "small" / "1" / "model_int8.tflite").predict(trained / "photos" / "3.jpg")
    assert small["price"].value == pytest.approx(answer["price"].value, abs=0.5)
    judged = json.loads((trained / "small" / "1" / "quantization.json").read_text())
    assert judged["examples"] == int(re.search(r"val \((\d+)\)", report).group(1))
    other = (trained / "shop.csv").read_text().replace("blue", "azure")
    (trained / "other.csv").write_text(other)
    (trained / "other.yaml").write_text(yaml.safe_dump({**config, "csv": str(trained / "other.csv")}))
    status, _, err = run(capsys, *command, "--data", trained / "other.yaml")
    assert status == 1
    assert "Expected the labels ['blue', 'green', 'red'] of task 'colour', in this order." in err


def test_options_go_before_the_file(tmp_path):
    (tmp_path / "run.yaml").write_text(
        "csv: a.csv\nimage: path\nout: saved\ntasks: [colour, 'price:number']\nepochs: 3\n"
    )
    config = TrainConfig.of(tmp_path / "run.yaml", {"epochs": 7, "size": None})
    assert (config.epochs, config.size, config.csv) == (7, 128, "a.csv")
    assert config.tasks == {"colour": {}, "price": {"kind": "number"}}
    (tmp_path / "run.yaml").write_text(
        "csv: a.csv\nimage: path\nout: saved\ntasks: {grade: {kind: ordinal, names: [low, high]}, sex: class}\n"
    )
    config = TrainConfig.of(tmp_path / "run.yaml", {})
    assert config.tasks == {"grade": {"kind": "ordinal", "names": ["low", "high"]}, "sex": {"kind": "class"}}
    (tmp_path / "few.yaml").write_text(
        "csv: a.csv\nimage: path\nout: saved\ntasks: sex\nlearning_rate: 1e-3\naugment: flip\nmissing: NA\n"
    )
    few = TrainConfig.of(tmp_path / "few.yaml", {})
    assert (few.learning_rate, few.augment, few.missing, few.tasks) == (1e-3, ["flip"], ["NA"], {"sex": {}})
    config.write(tmp_path / "again.yaml")
    assert TrainConfig.of(tmp_path / "again.yaml", {}) == config


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("csv: [", "Expected a YAML file. Received: file="),
        ("- a\n- b\n", "Expected a YAML file of keys and values."),
        ("epoch: 3\n", "Expected keys among ['csv', 'image',"),
        ("csv: a.csv\n", "Expected a value for 'image'. Received: image=None. Do pass --image, or set it in the file."),
        ("csv: a\nimage: b\nout: c\n", "Expected a value for 'tasks'. Received: tasks=None. Do pass --task, or set"),
        ("csv: a\nimage: b\nout: c\ntasks: {a: {kin: class}}\n", "Expected settings of task 'a' among ['kind',"),
        ("csv: a\nimage: b\nout: c\ntasks: [a]\nepochs: 0\n", "Expected a whole number of at least 1 for epochs."),
        ("csv: a\nimage: b\nout: c\ntasks: [a]\nlearning_rate: -1\n", "Expected a learning rate above 0."),
        ("csv: a\nimage: b\nout: c\ntasks: [a]\nval: much\n", "Expected a number for val. Received: val='much'."),
        ("csv: 5\nimage: b\nout: c\ntasks: [a]\n", "Expected a text for csv. Received: csv=5. Do correct it."),
        ("csv: a\nimage: b\nout: c\ntasks: [a]\nskip_bad: 'no'\n", "Expected true or false for skip_bad. Received: s"),
        ("csv: a\nimage: b\nout: c\ntasks: [a]\nseed: 2147483648\n", "Expected a seed below 2147483648. Received: s"),
        ("csv: a\nimage: b\nout: c\ntasks: 5\n", "Expected tasks as texts, or as a dict by name. Received: tasks=5."),
        ("csv: a\nimage: b\nout: c\ntasks: {a: {kind: [class]}}\n", "Expected a kind among ['class', 'multilabel', "),
        ("csv: a\nimage: b\nout: c\ntasks: {a: {unit: 5}}\n", "Expected the unit as a text. Received: unit=5."),
        ("csv: a\nimage: b\nout: c\ntasks: {a: {low: much}}\n", "Expected numbers as low and high of a task of kind"),
    ],
)
def test_wrong_configurations_are_named(tmp_path, content, expected):
    (tmp_path / "run.yaml").write_text(content)
    with pytest.raises(ValueError, match="Expected ") as error:
        TrainConfig.of(tmp_path / "run.yaml", {})
    assert str(error.value).startswith(expected)


def config(**changes):
    return TrainConfig(**{"csv": "a.csv", "image": "path", "tasks": {"a": {}}, "out": "o", **changes})


def test_wrong_options_show_before_any_image_is_read(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for option, value, expected in (
        ("--trunk", "tiny", "Expected a network of keras.applications. Received: application='tiny'."),
        ("--augment", "flop", "Expected an augmentation among"),
        ("--weighting", "fair", "Expected the name of a weighting. Received: weighting='fair'."),
        ("--precision", "float8", "Expected a precision among"),
        ("--strategy", "all", "Expected a strategy among"),
        ("--resize", "squeeze", "Expected a way to resize among"),
        ("--out", str(tmp_path / "file"), "Expected a folder to write to."),
        ("--scope", "all", "Expected a scope among ['parameters', 'features', 'last_layer']. Received: scope='all'."),
        ("--trunk-weights", "a.h5", "Expected a network of keras.applications as the trunk for trunk_weights."),
    ):
        status, _, err = run(capsys, *arguments(tmp_path), option, value)
        assert status == 1
        assert expected in err


def test_places_that_are_taken_show_before_training(capsys, tmp_path):
    write_shop(tmp_path, 30)
    place = tmp_path / "taken"
    place.write_text("a file")
    for option, expected in (
        ("--cache", f"Expected a folder for the decoded images. Received: cache={str(place)!r}, error='File exists'."),
        ("--runs", "Expected a path that can be used. Received: path="),
    ):
        status, out, err = run(capsys, *arguments(tmp_path), option, place)
        assert (status, out) == (1, "")
        assert expected in err


def test_trunks_by_name_fit_the_images():
    import keras

    for trunk, size in (("small", 8), ("small", 224), ("medium", 32), ("large", 128)):
        built = make_trunk(config(trunk=trunk, size=size))
        assert len(built(keras.Input((size, size, 3))).shape) == 2
    assert make_trunk(config(trunk="MobileNetV2")).get_config()["input_scale"] == 255.0
    with pytest.raises(ValueError, match=r"Expected colour images for a network of keras.applications"):
        make_trunk(config(trunk="MobileNetV2", channels=1))


def test_augmentations_by_name_and_settings():
    flip, noise = augmentations(["Flip", {"noise": {}}]).steps
    assert (flip.name, noise.name) == ("Flip", "Noise")
    assert augmentations([{"flip": {"horizontal": 0.25}}]).steps[0].horizontal == 0.25
    assert augmentations([]) is None
    with pytest.raises(ValueError, match="Expected settings of flip"):
        augmentations([{"flip": {"sideways": 1}}])


def test_a_grey_image_a_rectangle_and_a_word_for_missing(tmp_path):
    from mtl_keras.cli.train_run import read_source

    file = write_shop(tmp_path, 30)
    file.write_text(file.read_text().replace(",5.5,", ",NA,"))
    made = config(
        csv=str(file), root=str(tmp_path / "photos"), tasks={"price": {"kind": "number"}}, size=[8, 12], channels=1,
        missing=["NA"],
    )  # fmt: skip
    source = read_source(made, tmp_path)
    assert sum(source.label_counts(split)["price"] for split in source.sizes) == 20
    x, _, _ = next(iter(source.batches(4)))
    assert x.shape[1:] == (8, 12, 1)
    assert np.ptp(x) < 0.5
