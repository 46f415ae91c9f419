"""What the lines above pictures say."""

import numpy as np
import pytest

from mtl_keras.analysis import Caption, answer_caption, draw_images, draw_training
from mtl_keras.heads import Classifier, MultiLabel, Ordinal, Regressor

CLASSES = {"output": [0.1, 0.7, 0.2], "described": Classifier(labels=["red", "green", "blue"]).describe()}
TAGS = {"output": [0.9, 0.2, 0.6], "described": MultiLabel(labels=["hat", "smile", "glasses"]).describe()}
PRICE = {"output": [12.345], "described": Regressor(unit="EUR").describe()}


@pytest.mark.parametrize(
    ("given", "label", "weight", "expected"),
    [
        (CLASSES, 1, 1.0, Caption("t: green 70%", True)),
        (CLASSES, 2, 1.0, Caption("t: green 70% (is blue)", False)),
        (CLASSES, 0, 0.0, Caption("t: green 70%")),
        (CLASSES, None, 1.0, Caption("t: green 70%")),
        (TAGS, [1, 0, 1], [1, 1, 1], Caption("t: hat, glasses", True)),
        (TAGS, [1, 1, 1], [1, 0, 1], Caption("t: hat, glasses", True)),
        (TAGS, [0, 0, 0], [1, 1, 1], Caption("t: hat, glasses (is none)", False)),
        (TAGS, [0, 0, 0], [0, 0, 0], Caption("t: hat, glasses")),
        (PRICE, 10.0, 1.0, Caption("t: 12.35 EUR (is 10 EUR)")),
        (PRICE, 0.0, 0.0, Caption("t: 12.35 EUR")),
        ({"output": [[1.0]], "described": {}}, None, 1.0, Caption("t: values [1, 1]")),
    ],
)
def test_the_line_of_an_answer(given, label, weight, expected):
    assert answer_caption("t", given["described"], np.array(given["output"]), label, np.array(weight)) == expected


def test_ordered_classes_are_classes():
    described = Ordinal(labels=["low", "high"]).describe()
    assert answer_caption("t", described, np.array([0.6, 0.4]), 1) == Caption("t: low 60% (is high)", False)


def test_pictures_take_grey_and_colour_and_any_text(tmp_path):
    images = [np.zeros((4, 6, 3), np.uint8), np.ones((8, 8, 1), "float32"), np.zeros((3, 3, 3), "float32")]
    lines = [[Caption("costs $5 or $6", True)], [Caption("x" * 200, False), Caption("two")], []]
    draw_images(tmp_path / "a.png", images, lines, columns=2)
    draw_training(
        tmp_path / "b.png", {"a_loss": [1.0, 0.5], "val_a_loss": [1.0, 0.7], "a_mae": [2.0, 1.0]}, {"a": "mae"}
    )
    for name in ("a.png", "b.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
