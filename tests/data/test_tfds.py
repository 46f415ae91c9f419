"""tensorflow-datasets as a source: builders by mock_data, and this project's own for real."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
import tiny

import mtl_keras as mtl
from mtl_keras.data import Column
from mtl_keras.images import ImageFormat
from pipelines.multi_fashion import dataset as multi_fashion


def shape_of(source):
    """Shapes of a batch of 4."""
    x, y, w = next(iter(source.batches(4, training=True)))
    return x.shape.as_list(), {task: (y[task].shape.as_list(), w[task].shape.as_list()) for task in y}


def test_forty_attributes_are_one_fused_head(tmp_path):
    with tfds.testing.mock_data(num_examples=12):
        source = mtl.data.from_tfds("celeb_a", ["attributes"], data_dir=tmp_path, image_size=32)
    assert shape_of(source) == ([4, 32, 32, 3], {"attributes": ([4, 40], [4, 40])})
    assert source.kinds["attributes"].names[:2] == ("5_o_Clock_Shadow", "Arched_Eyebrows")
    (task,) = source.tasks()
    assert isinstance(task.head, mtl.heads.MultiLabel)
    assert task.head.num_labels == 40
    model = mtl.build(source.input(), mtl.sharing.Hard(mtl.trunks.Conv((4,))), [task])
    model.compile("adam")
    history = model.fit(source.batches(6, training=True), validation_data=source.batches(6), verbose=0).history
    assert np.isfinite(history["val_attributes_f1"]).all()


def test_images_of_every_size_and_two_classes(tmp_path):
    with tfds.testing.mock_data(num_examples=12):
        tasks = {"breed": Column(columns="label"), "species": "class"}
        source = mtl.data.from_tfds("oxford_iiit_pet", tasks, data_dir=tmp_path, image_size=(24, 16))
        with pytest.raises(ValueError, match="Expected") as caught:
            mtl.data.from_tfds("oxford_iiit_pet", tasks, data_dir=tmp_path)
        assert str(caught.value) == (
            "Expected an input of one known shape in feature 'image'. Received: shape=(None, None, 3), dtype='uint8'. "
            "Do pass image_size=128."
        )
    assert shape_of(source) == ([4, 24, 16, 3], {"breed": ([4], [4]), "species": ([4], [4])})
    assert source.kinds["species"].names == ("Cat", "Dog")
    assert len(source.kinds["breed"].names) == 37
    assert source.before["image"]["image"]["height"] == 24


def test_two_levels_of_labels(tmp_path):
    with tfds.testing.mock_data(num_examples=12):
        source = mtl.data.from_tfds("cifar100", ["fine=label", "coarse=coarse_label:class"], data_dir=tmp_path)
        grey = mtl.data.from_tfds("cifar100", ["label"], data_dir=tmp_path, image_size=ImageFormat(8, 8, channels=1))
    assert shape_of(source) == ([4, 32, 32, 3], {"fine": ([4], [4]), "coarse": ([4], [4])})
    assert [len(kind.names) for kind in source.kinds.values()] == [100, 20]
    assert shape_of(grey)[0] == [4, 8, 8, 1]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """This project's own builder with a few pairs, prepared."""
    config = multi_fashion.make_config(sizes={"train": 60, "validation": 20, "test": 20})
    builder = multi_fashion.MultiFashion(data_dir=str(tmp_path_factory.mktemp("tfds")), config=config)
    builder.download_and_prepare()
    return builder


def test_our_own_builder_for_real(pairs):
    source = mtl.data.from_tfds(pairs, ["top_left", "bottom_right"])
    assert source.sizes == {"train": 60, "val": 20, "test": 20}
    assert source.kinds["top_left"].names == tuple(multi_fashion.FASHION)
    for split, part in (("train", "train"), ("val", "validation"), ("test", "test")):
        examples = list(pairs.as_dataset(split=part).as_numpy_iterator())
        together = list(source.batches(7, split=split).unbatch().as_numpy_iterator())
        assert len(together) == source.sizes[split]
        for (x, y, w), example in zip(together, examples, strict=True):
            np.testing.assert_allclose(x * 255, example["image"], atol=1e-4)
            assert y == {task: example[task] for task in multi_fashion.TASKS}
            assert w == dict.fromkeys(multi_fashion.TASKS, 1.0)

    def epoch(batches):
        return [(float(tf.reduce_sum(x)), int(y["top_left"])) for x, y, _ in batches.unbatch()]

    train = source.batches(20, training=True)
    first, second = epoch(train), epoch(train)
    assert sorted(first) == sorted(second)
    assert first != second
    tf.random.set_seed(8)  # has no part in it
    assert epoch(mtl.data.from_tfds(pairs, ["top_left", "bottom_right"]).batches(20, training=True)) == first


def test_splits_and_inputs_can_be_stated(pairs):
    source = mtl.data.from_tfds(
        pairs, ["top_left"], splits={"train": "train[:30]", "val": "train[30:]"}, inputs=["image"]
    )
    assert source.sizes == {"train": 30, "val": 30}
    assert source.about["splits"] == {"train": "train[:30]", "val": "train[30:]"}


def test_what_tensorflow_datasets_imports_is_there(tmp_path):
    """It needs importlib_resources for its own builders, and does not ask for it."""
    assert tfds.builder("fashion_mnist", data_dir=str(tmp_path)).url_infos


def test_what_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(ValueError, match="Expected") as caught:
        mtl.data.from_tfds("cifar100", ["label"], data_dir=tmp_path)
    assert str(caught.value) == (
        "Expected the data set cifar100/3.0.2, fetched and prepared. "
        f"Received: data_dir='{tmp_path}', download=False. "
        "Do pass download=True, run 'tfds build cifar100', or pass the data_dir that holds it."
    )
    forms = "the name of a data set as 'name', 'name/configuration' or 'name:version', with those that there are"
    for name, expected in (
        (
            "cifar_100_000",
            "the name of a data set of tensorflow-datasets. Received: name='cifar_100_000'. "
            "Do correct it, or import the module that has its builder.",
        ),
        (
            "cifar100:9.9.9",
            f"{forms}. Received: name='cifar100:9.9.9', "
            "error='Dataset cifar100 cannot be loaded at version 9.9.9, only: 3.0.2.'. Do correct it.",
        ),
        (
            "cifar 100",
            f"{forms}. Received: name='cifar 100', error='Parsing builder name string cifar 100 failed.'. "
            "Do correct it.",
        ),
        (
            5,
            "the name of a data set of tensorflow-datasets, or a builder. Received: name=5. Do pass e.g. 'cifar100'.",
        ),
    ):
        tiny.refused(lambda name=name: mtl.data.from_tfds(name, ["label"], data_dir=tmp_path), f"Expected {expected}")


def test_splits_that_are_not_there_are_named(pairs):
    form = "splits among ['train', 'val', 'test'], each as a text in the builder's words"
    do = "pass e.g. {'train': 'train[:90%]', 'val': 'train[90%:]'}"
    there = "pass splits with those among ['train', 'validation', 'test'], or with parts of them, e.g. 'train[:90%]'"
    parsing = "Error parsing split 'train[:'. See format at: https://www.tensorflow.org/datasets/splits"
    name = pairs.info.full_name
    for splits, expected in (
        ({"training": "train"}, f"{form}. Received: splits={{'training': 'train'}}. Do {do}."),
        ({"train": 5}, f"{form}. Received: splits={{'train': 5}}. Do {do}."),
        (
            {"train": "trian"},
            f"a split of {name}. Received: split='trian', "
            f"error=\"Unknown split 'trian'. Should be one of ['train', 'validation', 'test'].\". Do {there}.",
        ),
        (
            {"train": "train[:"},
            f"a split of {name}. Received: split='train[:', error=\"{parsing}\". Do {there}.",
        ),
        (
            {"train": "train[:0]"},
            f"a split of {name}. Received: split='train[:0]', error='Instruction [] corresponds to no data!'. "
            f"Do {there}.",
        ),
    ):
        tiny.refused(
            lambda splits=splits: mtl.data.from_tfds(pairs, ["top_left"], splits=splits), f"Expected {expected}"
        )


def test_features_that_do_not_fit_are_named(tmp_path):
    builder = tfds.builder("oxford_iiit_pet", data_dir=tmp_path)
    names = ["image", "label", "species", "file_name", "segmentation_mask", "head_bbox"]
    for tasks, expected in (
        (["breeds"], f"a feature of the builder for 'breeds'. Received: feature='breeds'. Do choose one of {names}."),
        (
            ["segmentation_mask"],
            "features with labels of kind 'class, multilabel or number' for task 'segmentation_mask'. "
            "Received: features={'segmentation_mask': 'Image'}. Do state another kind, or choose other features.",
        ),
        (
            ["label:number"],
            "features with labels of kind 'number' for task 'label'. Received: features={'label': 'ClassLabel'}. "
            "Do state another kind, or choose other features.",
        ),
        (
            ["file_name:number"],
            "features with labels of kind 'number' for task 'file_name'. Received: features={'file_name': 'Text'}. "
            "Do state another kind, or choose other features.",
        ),
        (
            ["x=species/Cat"],
            "a feature of the builder for 'x'. Received: feature='species/Cat'. "
            "Do leave out '/Cat': nothing lies within the feature before it.",
        ),
        (
            {"species": Column(names=("a", "b"), missing="?")},
            "nothing but kind, columns in the Column of task 'species', as this source uses no more. "
            "Received: names=('a', 'b'), missing=('?',). Do leave the rest out.",
        ),
        ([], "at least one task. Received: tasks=[]. Do pass e.g. ['colour', 'price:number']."),
    ):
        with pytest.raises(ValueError, match="Expected") as caught:
            mtl.data.from_tfds(builder, tasks, image_size=8)
        assert str(caught.value) == f"Expected {expected}"


def test_every_kind_of_feature(tmp_path):
    with tfds.testing.mock_data(num_examples=16):
        landmarks = mtl.data.from_tfds(
            "celeb_a",
            {
                "smile": Column(columns="attributes/Smiling"),
                "two": Column(columns=("attributes/Young", "attributes/Male")),
                "landmarks": "number",
            },
            data_dir=tmp_path,
            image_size=8,
        )
        objects = mtl.data.from_tfds("voc/2007", ["labels"], data_dir=tmp_path, image_size=8)
        caption = mtl.data.from_tfds(
            "coco_captions", {"file": Column(columns="image/filename")}, data_dir=tmp_path, image_size=8
        )
    assert landmarks.kinds["landmarks"].units == 10
    assert landmarks.kinds["smile"].names == ("no", "yes")
    assert landmarks.kinds["two"].names == ("Young", "Male")
    assert len(objects.kinds["labels"].names) == 20
    assert caption.kinds["file"].kind == "class"
