"""What docs/data.md shows is what the library takes."""

import re

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
import tiny
from data.tfrecord.record_files import example, write

import mtl_keras as mtl
from mtl_keras.cli.train_config import TrainConfig
from mtl_keras.cli.train_run import augmentations, make_trunk
from mtl_keras.data.columns import stated_columns


def blocks(language):
    text = (tiny.ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_statements_on_columns():
    names = {}
    exec(next(block for block in blocks("python") if "Column(" in block), names)
    assert {task: column.kind for task, column in stated_columns(names["tasks"]).items()} == {
        "colour": None, "price": "number", "size": "ordinal", "tags": "multilabel", "face": None, "state": None,
    }  # fmt: skip
    assert names["tasks"]["state"].columns == ("Condition (1-5)",)


def test_the_configuration_of_a_run(tmp_path):
    (tmp_path / "run.yaml").write_text(*blocks("yaml"))
    config = TrainConfig.of(tmp_path / "run.yaml", {})
    assert config.tasks["size"] == {"kind": "ordinal", "names": ["S", "M", "L", "XL"]}
    assert [step.name for step in augmentations(config.augment).steps] == ["Flip", "Zoom"]
    assert type(make_trunk(config)).__name__ == "Residual"


def test_a_line_for_each_other_kind_of_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    black = tf.io.encode_png(np.zeros((4, 4, 3), np.uint8)).numpy()
    for shard in range(2):
        records = [example(image=black, label=n % 2, price=[float(n)]) for n in range(10)]
        write(tmp_path / f"photos-{shard:05d}-of-00002.tfrecord", records)
    names = {"mtl": mtl}
    with tfds.testing.mock_data(num_examples=12):
        exec(next(block for block in blocks("python") if "from_tfds" in block), names)
    assert names["pets"].task_names == ["label", "species"]
    assert len(names["pets"].kinds["label"].names) == 37
    assert {task: kind.kind for task, kind in names["photos"].kinds.items()} == {"label": "class", "price": "number"}
