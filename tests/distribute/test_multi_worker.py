"""Two processes on the loopback interface train one model, as a single process does, until one of them is killed."""

import io
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import worker

import mtl_keras as mtl
from mtl_keras import distribute
from mtl_keras.distribute import launch


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """The results of two workers, the folder that both wrote to, and what they printed."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "records").mkdir()
    worker.write_records(folder / "records")
    out = io.StringIO()
    tests = Path(__file__).parents[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([os.fspath(tests), os.fspath(tests.parent)]))
        status = launch.run([sys.executable, worker.__file__, "multi_worker", os.fspath(folder)], 2, 60.0, out)
    assert status == 128 + signal.SIGKILL, out.getvalue()
    return [json.loads((folder / f"worker{i}.json").read_text()) for i in range(2)], folder, out.getvalue()


def test_two_workers_are_one_process(workers, tmp_path):
    """Fit, validation, resuming, the best model from its file, evaluation, prediction, on every worker."""
    expected = worker.train(distribute.strategy("one"), tmp_path)
    for found in workers[0]:
        assert found["replicas"] == 2
        assert found["weights"].keys() == expected["weights"].keys()
        for path, values in expected["weights"].items():
            np.testing.assert_allclose(found["weights"][path], values, atol=1e-6, err_msg=path)
        for part in ("fit", "again", "evaluate"):
            assert found[part].keys() == expected[part].keys()
            for key, values in expected[part].items():
                np.testing.assert_allclose(found[part][key], values, rtol=1e-5, atol=1e-6, err_msg=f"{part} {key}")
        np.testing.assert_allclose(found["predict"], expected["predict"], atol=1e-6)


def test_workers_that_read_files_of_their_own_are_one_process_that_reads_all(workers):
    """No example is read twice or lost: each one moves the weights once."""
    results, folder, _ = workers
    expected = worker.apart(distribute.strategy("one"), folder / "records")
    for found in results:
        for values, other in zip(found["apart"]["weights"], expected["weights"], strict=True):
            np.testing.assert_allclose(values, other, atol=1e-6)
        for key, values in expected["logs"].items():
            np.testing.assert_allclose(found["apart"]["logs"][key], values, rtol=1e-5, err_msg=key)


def test_the_chief_alone_writes_and_reports(workers):
    _, folder, printed = workers
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["best.keras", "board", "last_words0.txt", "records", "resume", "worker0.json", "worker1.json"]
    kept = sorted(path.name for path in (folder / "resume").glob("*[!.]*.*") if not path.name.startswith("lock"))
    assert kept == ["checkpoint-000002-000000000.npz", "checkpoint-000003-000000000.npz", "history.csv"]
    assert [len(list((folder / "board" / run).iterdir())) for run in ("train", "validation")] == [1, 1]
    assert "[0] Epoch 2/2" in printed
    assert "[1] Epoch" not in printed


def test_what_would_let_workers_drift_apart_is_refused_on_all_of_them(workers):
    found, folder, _ = workers
    for index, epochs in enumerate((3, 0)):
        of_worker = folder / ("resume" if index == 0 else "elsewhere")
        assert found[index]["refusals"] == [
            "Expected the same checkpoint on every worker. "
            f"Received: folder={str(of_worker)!r}, epochs={epochs}. "
            "Do keep the folder on a file system that all workers share.",
            "Expected the same batches in the same order on every worker. Received: batch='another on this worker'. "
            "Do seed whatever shuffles (dataset.shuffle(n, seed=1), keras.utils.set_random_seed(1)), and give all "
            "workers the same files.",
        ]


def test_a_worker_that_dies_ends_the_run(workers):
    _, folder, printed = workers
    assert "[launch] worker 1 was ended by SIGKILL: ending the others" in printed
    said = (folder / "last_words0.txt").read_text()
    assert said.startswith("Expected all workers to stay until the end, but another one has ended. Received: error='")
    assert said.endswith(
        "'. Do look at what it said last, and start all again; with callbacks.Resume they go on from the last epoch."
    )


def test_checkpoints_within_an_epoch_are_refused_for_several_workers(monkeypatch, tmp_path):
    monkeypatch.setenv("TF_CONFIG", distribute.Cluster(("a:1", "b:1"), 1).to_tf_config())
    with pytest.raises(ValueError, match="Expected") as error:
        mtl.callbacks.Resume(tmp_path, every=10)
    assert str(error.value) == (
        "Expected checkpoints after epochs only, with several workers (within an epoch each has its own logs). "
        "Received: every=10. Do leave it out, and make epochs shorter by steps_per_epoch."
    )
