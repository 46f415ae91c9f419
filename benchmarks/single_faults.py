"""Faults, one by one: each function brings one about and says in a sentence what happened."""

import os
import re
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

import mtl_keras as mtl
from benchmarks.small_run import BATCH, EXAMPLES, LOSSES, arrays, compiled, data, digest, graph, whether_finite


def _fit(model: mtl.MultiTaskModel, x: Any, y: Any, **arguments: Any) -> dict[str, list[float]]:
    return model.fit(data(x, y), verbose=0, **arguments).history


def _refused(call: Callable[[], Any]) -> str:
    try:
        call()
    except (ValueError, OSError) as error:
        text = str(error.args[1] if isinstance(error, OSError) and len(error.args) > 1 else error)
        return f"`{text.split(' Do ')[0]}`"
    return "NOT REFUSED"


def nan_label(folder: Path) -> str:
    x, y = arrays()
    y["size"][:40] = np.nan
    model = compiled()
    _fit(model, x, y)
    return f"a missing label: its example does not count for the task; {whether_finite(model)}"


def infinite_label(folder: Path) -> str:
    x, y = arrays()
    y["size"][5] = np.inf
    model = compiled()
    logs = _fit(model, x, y)
    sat_out = logs.get("size_sat_out", [0])[0]
    steps = EXAMPLES // BATCH
    return f"the task sits out that step ({sat_out:g} of {steps}), the other one trains; {whether_finite(model)}"


def infinite_loss(folder: Path) -> str:
    x, y = arrays()

    def logarithm(labels: Any, values: Any) -> Any:
        return -keras.ops.log(keras.ops.maximum(values[:, 0], 0.0))

    model = graph()
    model.compile("adam", loss={**LOSSES, "size": logarithm}, weighting="equal")
    logs = _fit(model, x, y)
    sat_out = logs.get("size_sat_out", [0])[0]
    return f"-log(0) in one task: it sits out ({sat_out:g} of {EXAMPLES // BATCH} steps); {whether_finite(model)}"


def nan_input(folder: Path) -> str:
    x, y = arrays()
    x[7, 0] = np.nan
    model = compiled()
    in_arrays = _refused(lambda: model.fit(x, y, verbose=0))
    _fit(model, x, y)
    return f"arrays are refused: {in_arrays}; of a dataset every task sits out that step, {whether_finite(model)}"


def absent_task(folder: Path) -> str:
    x, y = arrays()
    none = np.full_like(y["size"], np.nan)
    model = compiled()
    head = model.get_layer("size")
    before = [v.numpy() for v in head.variables]
    _fit(model, x, {**y, "size": none}, callbacks=[mtl.callbacks.EarlyStopping(validated=False)])
    same = all((v.numpy() == b).all() for v, b in zip(head.variables, before, strict=True))
    moved = "its head and its optimizer stay as they are" if same else "ITS HEAD MOVED"
    return f"{moved}, the others train; such an epoch is never the best; {whether_finite(model)}"


def broken_image(folder: Path) -> str:
    colours = {"red": (255, 0, 0), "blue": (0, 0, 255)}
    rows = ["photo,colour"]
    for i in range(32):
        name = list(colours)[i % 2]
        Image.new("RGB", (8, 8), colours[name]).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{name}")
    (folder / "photos.csv").write_text("\n".join(rows), encoding="utf-8")

    def source(skip_bad: bool) -> mtl.data.Source:
        return mtl.data.from_csv(folder / "photos.csv", "photo", ["colour"], image_size=(8, 8), skip_bad=skip_bad)

    strict, forgiving = source(False), source(True)
    for i in range(0, 32, 8):  # some of them are training images
        (folder / f"{i}.png").unlink()
    model = mtl.build(strict.input(), mtl.sharing.Hard(mtl.trunks.Conv((4,))), strict.tasks())
    model.compile("adam")
    text = _refused(lambda: model.fit(strict.batches(8, training=True), verbose=0))
    model.fit(forgiving.batches(8, training=True), verbose=0)
    return f"{text}; with `skip_bad` the run goes on, {whether_finite(model)}"


def full_disk(folder: Path) -> str:
    x, y = arrays()
    resume = folder / "resume"
    _fit(compiled(64), x, y, callbacks=[mtl.callbacks.Resume(resume)])
    (last,) = resume.glob("checkpoint-*")
    whole = last.read_bytes()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, resource.RLIM_INFINITY))
    text = _refused(lambda: _fit(compiled(64), x, y, epochs=2, callbacks=[mtl.callbacks.Resume(resume)]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    kept = last.read_bytes() == whole and not list(resume.glob(".unfinished*"))
    return f"(a limit on the size of files) {text}; the last checkpoint {'is whole' if kept else 'IS GONE'}"


def read_only(folder: Path) -> str:
    x, y = arrays()
    closed = folder / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    if os.access(closed, os.W_OK):  # the administrator may write everywhere: a file in the place of a folder, then
        closed.chmod(0o755)
        (closed / "file").touch()
        closed = closed / "file"
    return "before training: " + _refused(
        lambda: _fit(compiled(), x, y, callbacks=[mtl.callbacks.Resume(closed / "resume")])
    )


def clock_jumps(folder: Path) -> str:
    x, y = arrays()
    clock = iter([2e9, 0.0, 4e9] * 10**4)
    real, time.time = time.time, lambda: next(clock)
    try:
        for epochs in (1, 2):
            model = compiled()
            _fit(model, x, y, epochs=epochs, callbacks=[mtl.callbacks.Resume(folder / "resume")])
    finally:
        time.time = real
    other = compiled()
    _fit(other, x, y, epochs=2, callbacks=[mtl.callbacks.Resume(folder / "other")])
    same = digest(model) == digest(other)
    return f"forwards and backwards by decades, with a resume between: {'same weights' if same else 'OTHER WEIGHTS'}"


def another_model(folder: Path) -> str:
    x, y = arrays()
    _fit(compiled(), x, y, callbacks=[mtl.callbacks.Resume(folder / "resume")])
    text = _refused(lambda: _fit(compiled(8), x, y, callbacks=[mtl.callbacks.Resume(folder / "resume")]))
    return re.sub(r"', '.*", "', ...`", text)


def two_runs(folder: Path) -> str:
    x, y = arrays()
    text = ""

    class Second(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            nonlocal text
            text = text or _refused(lambda: _fit(compiled(), x, y, callbacks=[mtl.callbacks.Resume(folder / "resume")]))

    _fit(compiled(), x, y, callbacks=[Second(), mtl.callbacks.Resume(folder / "resume")])
    return re.sub(r"process \d+ on \S+'", "process ... on ...'", text)


def damaged(folder: Path) -> str:
    x, y = arrays()
    _fit(compiled(), x, y, epochs=2, callbacks=[mtl.callbacks.Resume(folder / "resume")])
    newest = max((folder / "resume").glob("checkpoint-*"))
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    model = compiled()
    history = _fit(model, x, y, epochs=2, callbacks=[mtl.callbacks.Resume(folder / "resume")])
    other = compiled()
    _fit(other, x, y, epochs=2, callbacks=[mtl.callbacks.Resume(folder / "other")])
    same = digest(model) == digest(other) and len(history["loss"]) == 2
    return f"skipped with a note, the one before it serves: {'same weights' if same else 'OTHER WEIGHTS'} at the end"


FAULTS: dict[str, Callable[[Path], str]] = {
    "NaN as a label": nan_label,
    "infinity as a label": infinite_label,
    "an infinite loss": infinite_loss,
    "NaN in an input": nan_input,
    "no label of a task in a whole epoch": absent_task,
    "an image file that goes away while training": broken_image,
    "disk full": full_disk,
    "a folder that cannot be written to": read_only,
    "clock jumps": clock_jumps,
    "half a checkpoint": damaged,
    "a checkpoint of another model": another_model,
    "two runs in one folder": two_runs,
}
