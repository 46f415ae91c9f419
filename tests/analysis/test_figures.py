"""What pictures of runs show."""

from types import SimpleNamespace

import numpy as np
import pytest

from mtl_keras.analysis import figures


class Model:
    """Answers 0.2 and 0.8 for two tasks."""

    tasks = [
        SimpleNamespace(
            name=name, head=SimpleNamespace(describe=lambda: {"kind": "classification", "labels": ["no", "yes"]})
        )
        for name in ("left", "right")
    ]

    def __call__(self, images, training):
        return {task.name: np.tile([0.2, 0.8], (len(images), 1)) for task in self.tasks}


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (False, [["left: yes 80%", "right: yes 80% (is no)"], ["left: yes 80%", "right: yes 80%"]]),
        (True, [["right: yes 80% (is no)"], ["left: yes 80%"]]),
    ],
)
def test_answers_without_labels_can_be_left_out(only, expected, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "draw_images", lambda path, images, captions, grey: drawn.extend(captions))
    labels = {"left": [0, 1], "right": [0, 0]}
    weights = {"left": [0.0, 1.0], "right": [1.0, 0.0]}
    figures.draw_predictions("x.png", Model(), np.zeros((2, 4, 4, 1)), labels, weights, only_labelled=only)
    assert [[caption.text for caption in of] for of in drawn] == expected


@pytest.mark.parametrize("validated", [False, True])
def test_the_legend_names_each_task_once_beside_the_panels(validated, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    names = []
    monkeypatch.setattr(Figure, "legend", lambda self, handles, labels, **kwargs: names.extend(labels))
    history = {"a_loss": [2.0, 1.0], "b_loss": [3.0, 2.0], "a_accuracy": [0.1, 0.2], "a_weight": [1.0, 1.0]}
    if validated:
        history["val_a_loss"] = [2.5, 2.0]
    figures.draw_training(tmp_path / "training.png", history, {"a": "accuracy", "b": "accuracy"})
    assert names == ["a", "b", *(["validation"] if validated else [])]
    assert (tmp_path / "training.png").is_file()
