"""bench: what is timed, how calls take turns, and what is refused."""

import json
import time

import keras
import numpy as np
import pytest
from exported import text_of

import mtl_keras as mtl
from mtl_keras.export import bench
from mtl_keras.export._timing import median_and_p95, time_side_by_side

SIGNATURES = ["all_tasks", "task_age_group", "task_body", "task_price", "task_tags", "task_zest"]


def test_calls_take_turns_in_an_order_that_changes_and_repeats_by_seed():
    def order(seed):
        seen = []
        calls = {name: lambda name=name: seen.append(name) for name in "abc"}
        times = time_side_by_side(calls, rounds=20, warm_up=2, seed=seed)
        assert {name: len(of) for name, of in times.items()} == {"a": 20, "b": 20, "c": 20}
        assert all(milliseconds >= 0 for of in times.values() for milliseconds in of)
        return ["".join(seen[start : start + 3]) for start in range(0, len(seen), 3)]

    rounds = order(1)
    assert len(rounds) == 22
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 3
    assert order(1) == rounds
    assert order(2) != rounds


def test_times_are_milliseconds_from_before_a_call_to_after_it(monkeypatch):
    clock = iter([0.0, 1.0, 1.5, 1.75, 10.0, 10.001])  # seconds: the call to warm up, then two timed ones
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    times = time_side_by_side({"a": lambda: None}, rounds=2, warm_up=1)
    assert times["a"] == pytest.approx([250.0, 1.0])


def test_median_and_p95_by_hand():
    assert median_and_p95([5.0]) == (5.0, 5.0)
    # 95 % of the way from the first to the last of 21 sorted numbers is the 20th
    assert median_and_p95(list(range(20, -1, -1))) == (10.0, 19.0)


def test_every_artefact_signature_and_thread_count_has_its_row(shop):
    timings = bench([shop.folder], threads=[1, 2], rounds=2)
    found = [(timing.file, timing.signature, timing.threads) for timing in timings]
    tflite, saved, whole = (str(shop.folder / name) for name in ("model.tflite", "saved_model", "model.keras"))
    assert found == [
        *[(tflite, name, 1) for name in SIGNATURES],
        *[(tflite, name, 2) for name in SIGNATURES],
        *[(saved, name, None) for name in SIGNATURES],
        (whole, "all_tasks", None),
    ]
    for timing in timings:
        assert 0 < timing.median <= timing.p95
        assert (timing.rounds, timing.batch) == (2, 1)
    sizes = {timing.file: timing.bytes for timing in timings}
    assert sizes[tflite] == (shop.folder / "model.tflite").stat().st_size
    parts = [path for path in (shop.folder / "saved_model").rglob("*") if path.is_file()]
    assert sizes[saved] == sum(path.stat().st_size for path in parts)


def test_signatures_can_be_chosen_and_batches_be_larger(shop):
    timings = bench([shop.folder / "saved_model"], signatures=["task_price"], rounds=1, batch_size=5)
    assert [(timing.signature, timing.batch) for timing in timings] == [("task_price", 5)]
    # this file takes one example at a time
    timings = bench([shop.folder / "model.tflite"], signatures=["task_price"], rounds=1, batch_size=5)
    assert timings[0].batch == 1


def test_free_sides_come_from_the_manifest_or_are_asked_for(tmp_path):
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, {"a": keras.layers.GlobalAveragePooling1D(name="a")(x)})
    mtl.export.saved_model(model, tmp_path / "saved_model")
    path = tmp_path / "saved_model"
    with pytest.raises(ValueError, match="the sides of input") as error:
        bench([path], rounds=1)
    assert text_of(error) == (
        f"Expected the sides of input 'x', which the file leaves free. Received: shape=[-1, 3], file={str(path)!r}."
        " Do pass shapes={'x': [...]}, --shape x=... on the command line."
    )
    assert bench([path], rounds=1, shapes={"x": [7, 3]})[0].batch == 1
    manifest = mtl.export.Manifest.of(model)
    manifest.inputs["x"]["shape"] = [5, 3]
    manifest.add_files(tmp_path)
    manifest.write(tmp_path)
    assert bench([path], rounds=1)[0].batch == 1


def test_what_cannot_be_timed_is_named(shop):
    path = shop.folder / "model.tflite"
    for arguments, said in [
        ({"paths": []}, "Expected at least one file. Received: paths=[]. Do name .tflite files or version folders."),
        ({"threads": []}, "Expected numbers of threads of at least 1. Received: threads=[]. Do pass threads=[1]."),
        ({"threads": [0]}, "Expected numbers of threads of at least 1. Received: threads=[0]. Do pass threads=[1]."),
        ({"rounds": 0}, "Expected at least one round. Received: rounds=0. Do pass rounds=50."),
        ({"batch_size": 0}, "Expected a batch size of at least 1. Received: batch_size=0. Do pass batch_size=1."),
        (
            {"signatures": ["task_x"]},
            f"Expected a signature among {SIGNATURES}. Received: signatures=['task_x'], file={str(path)!r}."
            " Do correct it.",
        ),
    ]:
        with pytest.raises(ValueError, match="Expected") as error:
            bench(**({"paths": [path]} | arguments))
        assert text_of(error) == said


def test_inputs_are_the_same_for_every_file(shop, monkeypatch):
    """Side by side means on the same numbers."""
    seen = []
    from mtl_keras.export import _runtimes

    def run(self, signature, inputs):
        seen.append(inputs["image"])
        return {}

    monkeypatch.setattr(_runtimes.LiteRTRuntime, "run", run)
    monkeypatch.setattr(_runtimes.SavedModelRuntime, "run", run)
    bench([shop.folder / "model.tflite", shop.folder / "saved_model"], signatures=["all_tasks"], rounds=1)
    assert len(seen) == 12
    assert all(np.array_equal(image, seen[0]) for image in seen)


def test_the_command_prints_a_table_and_json(shop, command):
    status, out, _ = command("bench", shop.folder / "model.tflite", "--rounds", 2, "--signature", "all_tasks")
    assert status == 0
    header, row = out.splitlines()
    assert header.split("  ")[0] == "file"
    assert row.split()[:4] == [str(shop.folder / "model.tflite"), "all_tasks", "1", "1"]
    assert row.split()[6] == "1.00"
    status, out, _ = command(
        "bench", shop.folder / "model.tflite", "--rounds", 2, "--threads", 1, "--threads", 2, "--json"
    )
    assert [(row["signature"], row["threads"]) for row in json.loads(out)] == [
        (name, threads) for threads in (1, 2) for name in SIGNATURES
    ]
    status, _, error = command("bench", shop.folder, "--shape", "image=8,x")
    assert status == 1
    assert error == (
        "mtl-keras: Expected --shape as INPUT=H,W,C in whole numbers. Received: shape='image=8,x'."
        " Do write image=224,224,3.\n"
    )
