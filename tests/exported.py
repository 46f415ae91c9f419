"""A model with one task of every kind, its version folder, and changes to its manifest."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

import mtl_keras as mtl

# in an order that is not the alphabet's: runtimes list outputs in orders of their own
TASKS = ("zest", "tags", "price", "body", "age_group")
SCALE = 1 / 255


@dataclass(frozen=True)
class Shop:
    """An untrained model, its version folder, and three images with the model's outputs for them."""

    model: keras.Model
    folder: Path
    images: np.ndarray  # uint8 [3, 8, 8, 3]
    expected: dict[str, np.ndarray]

    def copy(self, to: Path) -> Path:
        """A version folder to damage."""
        return Path(shutil.copytree(self.folder, to))


def make_shop_model() -> keras.Model:
    """Image 8x8x3 to one task of every kind, with random weights large enough that answers differ."""
    keras.utils.set_random_seed(11)
    tasks = [
        mtl.Task("zest", mtl.heads.Classifier(labels=["sour", "bitter", "sweet", "mild"])),
        mtl.Task("tags", mtl.heads.MultiLabel(labels=["hat", "beard", "tie"], thresholds=[0.5, 0.01, 0.99])),
        mtl.Task("price", mtl.heads.Regressor(unit="EUR", mean=30.0, std=12.0)),
        mtl.Task("body", mtl.heads.Regressor(2, unit=["cm", "kg"])),
        mtl.Task("age_group", mtl.heads.Ordinal(labels=["young", "middle", "old"])),
    ]
    inputs = keras.Input((8, 8, 3), name="image")
    model = mtl.build(inputs, mtl.sharing.Hard(mtl.trunks.Conv((4,))), tasks, name="shop")
    rng = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(size=variable.shape, scale=0.3))
    return model


def export_shop(folder: Path) -> Shop:
    """The model as `<folder>/1/`."""
    model = make_shop_model()
    version = mtl.export.write_version(
        model, folder, before={"scale": SCALE, "image": {"resize": "pad"}}, metrics={"zest_accuracy": 0.5}
    )
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    outputs = model(images.astype("float32") * np.float32(SCALE))
    return Shop(model, version, images, {name: np.asarray(value) for name, value in outputs.items()})


def edit_manifest(folder: Path, change) -> None:
    """Rewrite a folder's manifest after `change(content)`."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def text_of(error: pytest.ExceptionInfo) -> str:
    return str(error.value)


def refusal(call) -> str | None:
    """The message of the ValueError that `call()` ends in, None if it ends well; every other error is a failure."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return None
