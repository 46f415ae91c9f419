"""manifest.json: what it says, that it comes back as it was, and that nothing damaged or foreign gets through."""

import copy
import hashlib
import json
import math
import random
from dataclasses import asdict

import keras
import pytest
from exported import edit_manifest, refusal, text_of

import mtl_keras as mtl
from mtl_keras.export import Manifest

# values that a foreign file may hold in any place
ODD = [None, True, -1, 1.5, math.nan, 10**400, "", "x", "\ud800", [], [None], [[]], {}, {"x": None}, {"": []}]


def test_it_says_what_the_model_is(shop):
    manifest = Manifest.read(shop.folder)
    assert manifest.model == "shop"
    assert manifest.parameters == shop.model.count_params()
    assert manifest.inputs == {"image": {"shape": [8, 8, 3], "dtype": "float32"}}
    assert manifest.tasks == {
        "zest": {"kind": "classification", "shape": [4], "labels": ["sour", "bitter", "sweet", "mild"]},
        "tags": {
            "kind": "multilabel",
            "shape": [3],
            "labels": ["hat", "beard", "tie"],
            "thresholds": [0.5, 0.01, 0.99],
        },
        "price": {"kind": "regression", "shape": [1], "units": ["EUR"], "mean": [30.0], "std": [12.0]},
        "body": {"kind": "regression", "shape": [2], "units": ["cm", "kg"], "mean": [0.0, 0.0], "std": [1.0, 1.0]},
        "age_group": {"kind": "ordinal", "shape": [3], "labels": ["young", "middle", "old"]},
    }
    assert list(manifest.tasks) == ["zest", "tags", "price", "body", "age_group"]
    assert manifest.preprocessing["before"] == {
        "image": {
            "scale": 1 / 255,
            "image": {"height": 8, "width": 8, "channels": 3, "resize": "pad", "background": 255},
        }
    }
    assert manifest.signatures == {
        "all_tasks": list(manifest.tasks),
        **{f"task_{task}": [task] for task in manifest.tasks},
    }
    assert manifest.metrics == {"zest_accuracy": 0.5}
    assert set(manifest.versions) == {"mtl_keras", "keras", "tensorflow", "ai-edge-litert", "numpy"}
    assert set(manifest.parity) == {"model.keras", "saved_model", "model.tflite"}
    assert all(set(errors) == set(manifest.tasks) for errors in manifest.parity.values())


def test_it_lists_every_file_with_size_and_checksum(shop):
    files = Manifest.read(shop.folder).files
    there = {path.relative_to(shop.folder).as_posix() for path in shop.folder.rglob("*") if path.is_file()}
    assert set(files) == there - {"manifest.json"}
    for name, recorded in files.items():
        data = (shop.folder / name).read_bytes()
        assert recorded == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_it_comes_back_as_it_was_written(shop, tmp_path):
    manifest = Manifest.read(shop.folder)
    manifest.metrics["lost"] = None
    assert manifest.write(tmp_path) == tmp_path / "manifest.json"
    assert Manifest.read(tmp_path) == manifest
    assert Manifest.read(tmp_path / "manifest.json") == manifest


def test_manifests_from_before_runs_had_names_are_read(shop, tmp_path):
    Manifest.read(shop.folder).write(tmp_path)
    edit_manifest(tmp_path, lambda content: content.pop("run"))
    assert Manifest.read(tmp_path) == Manifest.read(shop.folder)


def test_metrics_that_could_not_be_measured_are_none(shop, tmp_path):
    manifest = Manifest.of(shop.model, metrics={"a": math.nan, "b": math.inf, "c": 1})
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path).metrics == {"a": None, "b": None, "c": 1.0}


def test_outputs_without_a_head_are_values():
    x = keras.Input((None, 4), name="x")
    model = keras.Model(x, {"curve": keras.layers.Dense(2)(x)})
    manifest = Manifest.of(model)
    assert manifest.tasks == {"curve": {"kind": "values", "shape": [-1, 2]}}
    assert manifest.inputs == {"x": {"shape": [-1, 4], "dtype": "float32"}}


def test_missing_and_changed_files_are_named(shop, tmp_path):
    folder = shop.copy(tmp_path / "1")
    manifest = Manifest.read(folder)
    manifest.check_files(folder)
    path = folder / "saved_model" / "saved_model.pb"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="changed") as error:
        manifest.check_files(folder)
    assert (
        text_of(error)
        == f"Expected a file as it was exported (same checksum). Received: changed={str(path)!r}. Do export again."
    )
    manifest.check_files(folder, ["model.tflite"])
    (folder / "model.tflite").unlink()
    with pytest.raises(ValueError, match="missing") as error:
        manifest.check_files(folder, ["model.tflite"])
    assert text_of(error) == (
        f"Expected every file that the manifest lists. Received: missing={str(folder / 'model.tflite')!r}."
        " Do export again."
    )


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda content: content.pop("tasks"), "tasks"),
        (lambda content: content.update(extra=1), "extra"),
        (lambda content: content.update(parameters=-1), "parameters"),
        (lambda content: content.update(commit=7), "commit"),
        (lambda content: content.update(run=7), "run"),
        (lambda content: content["inputs"].update(image={"shape": [8, "8", 3], "dtype": "float32"}), "inputs.image"),
        (lambda content: content["tasks"]["zest"].pop("kind"), "tasks.zest"),
        (lambda content: content["tasks"]["zest"]["labels"].pop(), "tasks.zest.labels"),
        (lambda content: content["tasks"]["zest"].update(labels=["a", "b", "c", "a"]), "tasks.zest.labels"),
        (lambda content: content["tasks"]["tags"].update(thresholds=[0.5, "0.5", 0.5]), "tasks.tags.thresholds"),
        (lambda content: content["tasks"]["body"].update(units=["cm"]), "tasks.body.units"),
        (lambda content: content["preprocessing"].update(before=[]), "preprocessing.before"),
        (lambda content: content["preprocessing"].update(before={"sound": {}}), "preprocessing.before.sound"),
        (lambda content: content["preprocessing"]["before"]["image"].update(scale="1"), "preprocessing.before.image"),
        (lambda content: content["files"]["model.tflite"].pop("sha256"), "files.model.tflite"),
        (lambda content: content["metrics"].update(a="0.5"), "metrics"),
        (lambda content: content["parity"].update(a={"b": None}), "parity"),
        (lambda content: content["signatures"].update(a="zest"), "signatures"),
    ],
)  # fmt: skip
def test_the_wrong_part_is_named(shop, tmp_path, change, wrong):
    path = Manifest.read(shop.folder).write(tmp_path)
    edit_manifest(tmp_path, change)
    with pytest.raises(ValueError, match="all its parts") as error:
        Manifest.read(tmp_path)
    assert text_of(error) == (
        f"Expected a manifest with all its parts. Received: path={str(path)!r}, wrong={wrong!r}. Do export again."
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ('{"schema": 1', "Expecting ',' delimiter: line 1 column 13 (char 12)"),
        ("\ufeff{}", "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path, text, said):
    path = tmp_path / "manifest.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="can be read") as error:
        Manifest.read(tmp_path)
    assert text_of(error) == (
        f"Expected a manifest.json that can be read. Received: path={str(path)!r}, error={said!r}."
        " Do export the model again."
    )


@pytest.mark.parametrize("content", [[], 3, None, "schema", {}, {"schema": 2}, {"schema": "1"}])
def test_another_schema_is_refused(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    schema = content.get("schema") if isinstance(content, dict) else None
    with pytest.raises(ValueError, match="schema") as error:
        Manifest.read(path)
    assert text_of(error) == (
        f"Expected a manifest of schema 1. Received: path={str(path)!r}, schema={schema!r}. Do export again."
    )


@pytest.mark.parametrize(
    "name",
    ["../other", "/etc/passwd", "a/../../other", "..", "", ".", "..\\other", "C:other", "a\0b", "link/other", "\ud800"],
)
def test_files_outside_the_folder_are_refused(shop, tmp_path, name):
    (tmp_path / "other").write_text("secret")
    folder = tmp_path / "1"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    path = Manifest.read(shop.folder).write(folder)
    edit_manifest(folder, lambda content: content.update(files={name: {"bytes": 6, "sha256": ""}}))
    with pytest.raises(ValueError, match="inside") as error:
        Manifest.read(folder)
    assert text_of(error) == (
        f"Expected files inside the manifest's folder. Received: path={str(path)!r}, file={name!r}."
        " Do not use this folder."
    )


def places(node, path=()):
    """Where something can be replaced: every key and index in a JSON tree."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def test_odd_values_anywhere_end_in_a_clear_error_or_in_answers(shop, tmp_path):
    """Whatever stands in place of one part: `Predictor` answers, or says what is wrong with which file."""
    folder = shop.copy(tmp_path / "1")
    content = asdict(Manifest.read(folder))
    for name in [name for name in content["files"] if name != "model.tflite"]:
        content["files"].pop(name)
    content["parity"] = {"model.tflite": {"zest": 0.0}}
    answered = refused = 0
    for path in places(content):
        for odd in ODD:
            changed = copy.deepcopy(content)
            node = changed
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = odd
            (folder / "manifest.json").write_text(json.dumps(changed), encoding="utf-8")
            said = refusal(lambda: mtl.export.Predictor(folder).predict(shop.images[0]))
            assert said is None or said.startswith("Expected "), (path, odd, said)
            answered, refused = answered + (said is None), refused + (said is not None)
    assert answered > 50
    assert refused > 500


def test_damaged_bytes_end_in_a_clear_error_or_in_a_manifest(shop, tmp_path):
    data = (shop.folder / "manifest.json").read_bytes()
    path = tmp_path / "manifest.json"
    rng = random.Random(1)
    for _ in range(500):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 3, 20])):
            place = rng.randrange(len(damaged))
            damaged[place : place + rng.choice([0, 1, 1, 5])] = rng.randbytes(rng.choice([0, 1, 1, 4]))
        path.write_bytes(damaged)
        said = refusal(lambda: Manifest.read(path))
        assert said is None or said.startswith("Expected "), (bytes(damaged), said)


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        ({"scale": "1/255"}, {"image": {"scale": "1/255"}}),
        ({"scale": math.inf}, {"image": {"scale": math.inf}}),
        ({"scale": True}, {"image": {"scale": True}}),
        ({"sharpen": 2}, {"image": {"sharpen": 2}}),
        ({"image": {"size": 8}}, {"image": {"size": 8}}),
        ({"image": {"height": 8.0}, "scale": 2}, {"image": {"image": {"height": 8.0}, "scale": 2}}),
        ({"image": {}, "scale": 2}, {"image": {"image": {}, "scale": 2}}),
    ],
)
def test_preprocessing_that_a_predictor_would_not_do_is_refused(shop, before, shown):
    with pytest.raises(ValueError, match="preprocessing") as error:
        Manifest.of(shop.model, before=before)
    assert text_of(error) == (
        "Expected preprocessing as 'image' (a format), 'scale' and 'offset' (finite numbers), 'pixels' (a remark)."
        f" Received: before={shown!r}. Do put any other step into the graph as a layer."
    )


def test_preprocessing_goes_by_input_name():
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    model = keras.Model([one, two], {"a": keras.layers.Add()([one, two])})
    manifest = Manifest.of(model, before={"two": {"scale": 2.0, "pixels": "doubled"}})
    assert manifest.preprocessing["before"] == {"two": {"scale": 2.0, "pixels": "doubled"}}
    with pytest.raises(ValueError, match="by input name") as error:
        Manifest.of(model, before={"scale": 2.0})
    assert text_of(error) == (
        "Expected preprocessing by input name ['one', 'two']. Received: before={'scale': 2.0}."
        " Do pass {input name: {...}}."
    )
