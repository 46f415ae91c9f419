"""TF_CONFIG as it is read and written, and who the chief is."""

import json
from pathlib import Path

import pytest
import tensorflow as tf

from mtl_keras import distribute
from mtl_keras.distribute.cluster import Cluster, cluster

TWO = {"worker": ["a:1", "b:2"]}


def config(roles, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": roles, "task": {"type": kind, "index": index}})}


def test_a_cluster_says_what_it_reads():
    read = cluster(config(TWO, index=1))
    assert read == Cluster(("a:1", "b:2"), 1)
    assert cluster({"TF_CONFIG": read.to_tf_config()}) == read
    assert cluster({"TF_CONFIG": " "}) is None


def test_a_chief_of_its_own_is_the_first_worker():
    roles = {"chief": ["c:0"], **TWO}
    assert cluster(config(roles, "chief")) == Cluster(("c:0", "a:1", "b:2"), 0)
    assert cluster(config(roles, "worker", 1)).index == 2


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"TF_CONFIG": "{"}, "Expected TF_CONFIG as JSON with 'cluster' and 'task'. Received: TF_CONFIG='{', error="),
        (
            {"TF_CONFIG": '{"cluster": {}}'},
            "Expected TF_CONFIG as JSON with 'cluster' and 'task'. Received: TF_CONFIG=",
        ),
        (
            config({**TWO, "ps": ["p:1"]}),
            "Expected only the tasks 'chief' and 'worker' in TF_CONFIG (parameter servers and evaluators have no fit). "
            "Received: cluster=['worker', 'ps'], task='worker'. Do set it with python -m mtl_keras.distribute.launch, "
            "or as docs/distribution.md shows.",
        ),
        (
            config(TWO, index=2),
            "Expected a task index below 2 in TF_CONFIG. Received: type='worker', index=2. Do set it with "
            "python -m mtl_keras.distribute.launch, or as docs/distribution.md shows.",
        ),
    ],
)
def test_what_no_cluster_can_be_read_from(environ, text):
    with pytest.raises(ValueError, match="Expected") as error:
        cluster(environ)
    assert str(error.value).startswith(text)


def test_the_chief_alone_gets_the_folder(monkeypatch, tmp_path):
    assert distribute.is_chief()
    assert distribute.number_of_workers() == 1
    assert distribute.own_folder(tmp_path) == tmp_path
    for name, value in config(TWO, index=1).items():
        monkeypatch.setenv(name, value)
    assert not distribute.is_chief()
    assert distribute.number_of_workers() == 2
    other = distribute.own_folder(tmp_path)
    assert isinstance(other, Path)
    assert other.is_dir()
    assert tmp_path not in (other, *other.parents)


def test_strategies_that_cannot_be():
    for name, text in (
        (
            "magic",
            "Expected a strategy among ['auto', 'one', 'mirrored', 'multi_worker'], or an instance. "
            "Received: strategy='magic'. Do choose one.",
        ),
        (
            "multi_worker",
            "Expected at least two workers in TF_CONFIG. Received: workers=1. Do start the program with "
            "python -m mtl_keras.distribute.launch --workers 2 -- ....",
        ),
        (
            tf.distribute.experimental.CentralStorageStrategy(["CPU:0", "CPU:1"]),
            "Expected a strategy whose replicas have metrics of their own (with this one all count in the same). "
            "Received: strategy='CentralStorageStrategy'. Do choose 'mirrored'.",
        ),
    ):
        with pytest.raises(ValueError, match="Expected") as error:
            distribute.strategy(name)
        assert str(error.value) == text
    for devices in (0, 99, 1.5, "2"):
        with pytest.raises(ValueError, match=f"devices. Received: devices={devices!r}. Do take as"):
            distribute.strategy("mirrored", devices)


def test_a_multi_worker_strategy_comes_first(monkeypatch):
    """TensorFlow runs already in this process."""
    for name, value in config(TWO).items():
        monkeypatch.setenv(name, value)
    for name in ("multi_worker", "auto"):
        with pytest.raises(ValueError, match="Expected a multi-worker strategy before anything else") as error:
            distribute.strategy(name)
        assert str(error.value).endswith(
            "Do call distribute.strategy at the start of the program, before data are loaded."
        )
