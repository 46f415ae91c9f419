"""Settings before TensorFlow starts: four CPU devices for the tests of replicas, a quiet log."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import keras
import pytest
import tensorflow as tf


def pytest_configure() -> None:
    # graphs are very many objects: looking for garbage among them as often as Python does takes much of the time
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 4)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    tf.config.threading.set_intra_op_parallelism_threads(2)
    optimise_graphs(False)
    end_iterators_at_once()


def end_iterators_at_once() -> None:
    """Iterators of arrays and datasets of TensorFlow's may take a minute to end, see `mtl_keras/data/parallel.py`."""
    make = tf.data.Dataset.__iter__
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    tf.data.Dataset.__iter__ = lambda dataset: make(dataset.with_options(untuned))


def optimise_graphs(on: bool) -> None:
    """TensorFlow's optimiser of graphs takes a sixth of the suite's time, for graphs that run a few times each.

    Tests of pipelines, and whatever runs in a process of its own, do with it, as users' programs do.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not on})


@pytest.fixture(scope="module")
def optimised_graphs():
    optimise_graphs(True)
    yield
    optimise_graphs(False)


@pytest.fixture(autouse=True)
def _seeded():
    """Every test starts from the same seeds and leaves no global policy behind."""
    keras.utils.set_random_seed(7)
    yield
    keras.config.set_dtype_policy("float32")
    keras.backend.clear_session(free_memory=False)
