"""Predictor: named answers of every kind of head, from every kind of artefact, and what it refuses."""

import shutil
import zipfile

import keras
import numpy as np
import pytest
import tiny
from exported import SCALE, edit_manifest, text_of

import mtl_keras as mtl
from mtl_keras.export import ArrayResult, ClassResult, LabelsResult, Manifest, Predictor, ValueResult


def artefacts(folder):
    return [folder, folder / "manifest.json", folder / "model.tflite", folder / "saved_model", folder / "model.keras"]


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory):
    """Two inputs of different kinds; outputs without heads, one of them image-shaped."""
    image = keras.Input((4, 4, 1), name="image")
    codes = keras.Input((2,), dtype="int32", name="codes")
    mask = keras.layers.Conv2D(2, 1, activation="softmax", name="mask")(image)
    known = keras.layers.Flatten()(keras.layers.Embedding(3, 2)(codes))
    number = keras.layers.Dense(1, name="number")(known)
    model = keras.Model([image, codes], {"number": number, "mask": mask})
    folder = mtl.export.write_version(model, tmp_path_factory.mktemp("two"), before={"image": {"scale": 0.5}})
    return model, folder


def test_every_artefact_gives_the_models_numbers_by_name(shop):
    for path in artefacts(shop.folder):
        predictor = Predictor(path)
        assert predictor.tasks == list(shop.expected)
        outputs = predictor.outputs(shop.images)
        assert list(outputs) == list(shop.expected)
        for task, expected in shop.expected.items():
            np.testing.assert_allclose(outputs[task], expected, rtol=1e-5, atol=1e-5, err_msg=task)


def test_a_class_has_label_score_and_top(shop):
    answers = Predictor(shop.folder, top=2).predict(shop.images)
    labels = ["sour", "bitter", "sweet", "mild"]
    for answer, scores in zip(answers, shop.expected["zest"], strict=True):
        result = answer["zest"]
        assert isinstance(result, ClassResult)
        order = np.argsort(-scores)
        assert result.label == labels[order[0]]
        assert [label for label, _ in result.top] == [labels[i] for i in order[:2]]
        assert result.score == result.top[0][1] == result.probabilities[result.label]
        assert list(result.probabilities) == labels
        np.testing.assert_allclose(list(result.probabilities.values()), scores, atol=1e-6)
        assert type(result.score) is float


def test_ordered_classes_are_read_like_classes(shop):
    for answer, scores in zip(Predictor(shop.folder).predict(shop.images), shop.expected["age_group"], strict=True):
        result = answer["age_group"]
        assert isinstance(result, ClassResult)
        assert result.label == ["young", "middle", "old"][scores.argmax()]
        assert sum(result.probabilities.values()) == pytest.approx(1.0)


def test_labels_are_those_at_their_own_threshold(shop):
    for answer, scores in zip(Predictor(shop.folder).predict(shop.images), shop.expected["tags"], strict=True):
        result = answer["tags"]
        assert isinstance(result, LabelsResult)
        assert list(result.scores) == ["hat", "beard", "tie"]
        np.testing.assert_allclose(list(result.scores.values()), scores, atol=1e-6)
        chosen = [name for name, p, t in zip(result.scores, scores, [0.5, 0.01, 0.99], strict=True) if p >= t]
        assert result.labels == chosen
        assert "beard" in chosen
        assert "tie" not in chosen


def test_values_have_their_units(shop):
    answers = Predictor(shop.folder).predict(shop.images)
    for answer, price, body in zip(answers, shop.expected["price"], shop.expected["body"], strict=True):
        assert isinstance(answer["price"], ValueResult)
        assert answer["price"].unit == "EUR"
        assert answer["price"].value == pytest.approx(float(price[0]), rel=1e-5)
        assert answer["body"].unit == ["cm", "kg"]
        assert answer["body"].value == pytest.approx(body.tolist(), rel=1e-5, abs=1e-5)


def test_one_example_is_answered_by_one_answer(shop):
    predictor = Predictor(shop.folder)
    batch = predictor.predict(shop.images)
    assert len(batch) == 3
    assert predictor.predict(shop.images[1]) == batch[1]
    assert predictor.predict(shop.images[1].tolist()) == batch[1]
    assert predictor.predict({"image": shop.images[1]}) == batch[1]


def test_whole_numbers_are_scaled_and_floats_are_taken_as_they_are(shop):
    predictor = Predictor(shop.folder)
    floats = shop.images.astype("float32") * np.float32(SCALE)
    for images in (floats, shop.images.astype("int64"), floats.astype("float64")):
        for task, expected in shop.expected.items():
            np.testing.assert_allclose(predictor.outputs(images)[task], expected, rtol=1e-5, atol=1e-5)


def test_offset_is_added_after_scaling(shop, tmp_path):
    folder = shop.copy(tmp_path / "1")
    edit_manifest(folder, lambda content: content["preprocessing"].update(before={"image": {"offset": 3, "scale": 2}}))
    outputs = Predictor(folder).outputs(shop.images)
    expected = Predictor(folder).outputs(shop.images.astype("float32") * 2 + 3)
    assert np.array_equal(outputs["price"], expected["price"])


def test_one_task_is_answered_alone(shop):
    predictor = Predictor(shop.folder, task="price")
    assert (predictor.tasks, predictor.signature) == (["price"], "task_price")
    assert list(predictor.predict(shop.images[0])) == ["price"]
    with pytest.raises(ValueError, match="a task among") as error:
        Predictor(shop.folder, task="colour")
    found = mtl.export.Predictor(shop.folder)._runtime.signatures()["all_tasks"]
    assert text_of(error) == f"Expected a task among {found}. Received: task='colour'. Do correct the name."


def test_files_for_several_examples_at_once_take_any_number(shop, tmp_path):
    path = tmp_path / "two.tflite"
    mtl.export.litert(shop.model, path, batch_size=2)
    predictor = Predictor(path)
    floats = shop.images.astype("float32") * np.float32(SCALE)
    for size in (1, 2, 3):
        outputs = predictor.outputs(floats[:size])
        for task, expected in shop.expected.items():
            np.testing.assert_allclose(outputs[task], expected[:size], rtol=1e-5, atol=1e-5)


def test_without_a_manifest_there_are_arrays(shop, tmp_path):
    path = tmp_path / "bare.tflite"
    with zipfile.ZipFile(shop.folder / "model.tflite") as metadata:
        end = metadata.infolist()[0].header_offset
    path.write_bytes((shop.folder / "model.tflite").read_bytes()[:end])
    answer = Predictor(path).predict(shop.images[0].astype("float32") * np.float32(SCALE))
    assert set(answer) == set(shop.expected)
    assert all(isinstance(result, ArrayResult) for result in answer.values())
    np.testing.assert_allclose(answer["zest"].values, shop.expected["zest"][0], atol=1e-6)
    # a manifest that does not list the file is not its manifest
    Manifest.read(shop.folder).write(tmp_path)
    assert Predictor(path).manifest is None


def test_several_inputs_and_outputs_of_any_shape(two_inputs):
    model, folder = two_inputs
    rng = np.random.default_rng(1)
    image = rng.integers(0, 9, (5, 4, 4, 1), dtype=np.uint8)
    codes = rng.integers(0, 3, (5, 2))
    expected = model([image.astype("float32") / 2, codes])
    for path in artefacts(folder):
        answers = Predictor(path).predict({"codes": codes, "image": image})
        assert [list(answer) for answer in answers] == [["number", "mask"]] * 5
        for i, answer in enumerate(answers):
            np.testing.assert_allclose(answer["mask"].values, expected["mask"][i], atol=1e-6)
            np.testing.assert_allclose(answer["number"].values, expected["number"][i], atol=1e-6)


def test_inputs_that_do_not_fit_are_named(shop, two_inputs):
    one, two = Predictor(shop.folder), Predictor(two_inputs[1])
    image, codes = np.zeros((4, 4, 1)), np.zeros(2, int)
    nan = np.full((8, 8, 3), np.nan)
    for predictor, inputs, said in [
        (one, np.zeros((8, 8)),
         "Expected input 'image' of shape [8, 8, 3], or a batch of those. Received: shape=(8, 8)."
         " Do resize or reshape it."),
        (one, np.zeros((2, 9, 8, 3)),
         "Expected input 'image' of shape [8, 8, 3], or a batch of those. Received: shape=(2, 9, 8, 3)."
         " Do resize or reshape it."),
        (one, {"picture": image},
         "Expected inputs by name ['image']. Received: inputs=['picture']. Do pass {name: array}."),
        (two, image, "Expected inputs by name ['codes', 'image']. Received: inputs='ndarray'. Do pass {name: array}."),
        (two, {"image": image[None], "codes": np.zeros((2, 2), int)},
         "Expected at least one example, as many in every input. Received: examples={'codes': 2, 'image': 1}."
         " Do pass equal batches."),
        (one, np.zeros((0, 8, 8, 3)),
         "Expected at least one example, as many in every input. Received: examples={'image': 0}."
         " Do pass equal batches."),
        (one, [[1, 2], [3]],
         "Expected input 'image' as an array of numbers. Received: type='list'. Do convert it."),
        (one, None, "Expected input 'image' as an array of numbers. Received: type='NoneType'. Do convert it."),
        (one, nan, "Expected a finite input 'image'. Received: values='NaN or infinite'. Do correct it."),
        (one, np.full((8, 8, 3), 1e300),
         "Expected a finite input 'image'. Received: values='NaN or infinite'. Do correct it."),
        (two, {"image": image, "codes": codes + 0.5},
         "Expected input 'codes' in whole numbers of int32. Received: dtype='float64'. Do convert it."),
        (two, {"image": image, "codes": codes + 2**40},
         "Expected input 'codes' in whole numbers of int32. Received: dtype='int64'. Do convert it."),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match="Expected") as error:
            predictor.predict(inputs)
        assert text_of(error) == said


def test_places_without_an_artefact_are_named(shop, tmp_path):
    with pytest.raises(ValueError, match="exists") as error:
        Predictor(tmp_path / "nowhere")
    assert text_of(error) == (
        f"Expected a folder or file that exists. Received: path={str(tmp_path / 'nowhere')!r}. Do check the path."
    )
    with pytest.raises(ValueError, match="in it") as error:
        Predictor(tmp_path)
    assert text_of(error) == (
        "Expected a .tflite or .keras file or a saved_model folder in it."
        f" Received: path={str(tmp_path)!r}. Do export again."
    )
    versions = shop.copy(tmp_path / "shop" / "1").parent
    tiny.refused(
        lambda: Predictor(versions),
        f"Expected the folder of one version. Received: path={str(versions)!r}, versions=['1']. "
        "Do name one of the versions.",
    )
    with pytest.raises(ValueError, match="top of at least 1") as error:
        Predictor(shop.folder, top=0)
    assert text_of(error) == "Expected top of at least 1. Received: top=0. Do pass top=3."


def test_the_saved_model_serves_where_there_is_no_tflite_file(shop, tmp_path):
    folder = shop.copy(tmp_path / "1")
    (folder / "model.tflite").unlink()
    assert Predictor(folder).path == folder / "saved_model"
    shutil.rmtree(folder / "saved_model")
    assert Predictor(folder).path == folder / "model.keras"


def test_a_file_that_changed_since_its_export_is_refused(shop, tmp_path):
    folder = shop.copy(tmp_path / "1")
    path = folder / "model.tflite"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="same checksum") as error:
        Predictor(folder)
    assert (
        text_of(error)
        == f"Expected a file as it was exported (same checksum). Received: changed={str(path)!r}. Do export again."
    )
    assert Predictor(folder / "saved_model").tasks == list(shop.expected)
