"""The README keeps its word: its example runs, and its numbers are those of the committed run."""

import re
from pathlib import Path

import numpy as np
import pytest
import tiny

from mtl_keras.export import Manifest, Predictor
from pipelines.multi_fashion import dataset, publish
from pipelines.publish import BEGIN, END, measured

README = (tiny.ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = tiny.ROOT / "savedmodels" / "multi_fashion" / "example"


def test_the_first_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.random((6, 64, 64, 3), np.float32)
    prices = np.array([3, 9, np.nan, 1, 2, 7])
    y = {"colour": rng.integers(-1, 3, 6), "tags": rng.integers(0, 2, (6, 3)), "price": prices}
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1).replace("epochs=10", "epochs=1")
    exec(compile(code, "README.md", "exec"), {"x": x, "y": y, "x_val": x, "y_val": y})
    assert capsys.readouterr().out.splitlines()[-1].split()[0] in ("red", "green", "blue")
    assert Path("savedmodels/shop/1/model.tflite").is_file()
    assert Path("best.keras").is_file()


def test_measured_numbers_are_those_of_the_example():
    begin, end = README.index(BEGIN), README.index(END)
    assert README[begin + len(BEGIN) : end].strip() == measured(EXAMPLE)


def test_the_example_is_small_and_whole():
    assert sum(path.stat().st_size for path in EXAMPLE.iterdir()) < 1_000_000
    manifest = Manifest.read(EXAMPLE)
    manifest.check_files(EXAMPLE)
    assert set(manifest.files) == set(publish.KEPT)


def test_the_example_is_as_accurate_as_it_says(tmp_path):
    """Its manifest's accuracies come out again, on test pairs none of whose images was in a training pair."""
    test = dataset.load(tmp_path, sizes={"train": 1, "validation": 1}).test
    examples = list(test.as_numpy_iterator())
    answers = Predictor(EXAMPLE).predict(np.stack([example["image"] for example in examples]))
    manifest = Manifest.read(EXAMPLE)
    for task in manifest.tasks:
        truth = [dataset.FASHION[example[task]] for example in examples]
        right = [answer[task].label == label for answer, label in zip(answers, truth, strict=True)]
        assert np.mean(right) == pytest.approx(manifest.metrics[f"{task}_accuracy"], abs=1e-6)
        assert np.mean(right) >= 0.80


@pytest.mark.parametrize(("guide", "count"), [("models", 4), ("weightings", 2), ("mixing", 4), ("augmentation", 3)])
def test_a_guide_runs_and_prints_what_it_says(guide, count, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (tiny.ROOT / "docs" / f"{guide}.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    exec(compile(code, f"{guide}.md", "exec"), {})
    said = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert len(said) == count
    assert capsys.readouterr().out.splitlines()[: len(said)] == said
