"""Whether memory stays flat: the same many steps with every callback, with none, and in plain Keras."""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.document import table
from benchmarks.small_run import BATCH, LOSSES, arrays, callbacks, compiled, data, in_child, whether_finite

RUNS = ("all callbacks", "no callbacks", "plain Keras")
EPOCHS = 50


class Memory(keras.callbacks.Callback):
    """Notes how much memory the process has at the end of every epoch, in MiB."""

    state_attributes = ()

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        self.seen.append(pages * resource.getpagesize() / 2**20)


def soaked(place: Path, given: argparse.Namespace) -> list[str]:
    """The same many steps with every callback, with none, and in plain Keras, each in a process of its own."""
    if not Path("/proc/self/statm").exists():
        return ["# A long run", "Not measured: this system does not tell a process how much memory it has."]
    found = {name: _soak(place / str(i), name, given.steps) for i, name in enumerate(RUNS)}
    steps, half = np.arange(1, EPOCHS + 1) * (given.steps // EPOCHS), EPOCHS // 2
    shown = [round(share * EPOCHS) - 1 for share in (0.05, 0.25, 0.5, 0.75, 1.0)]
    growth = [1000 * np.polyfit(steps[half:], run["memory"][half:], 1)[0] for run in found.values()]
    rows = [[f"{steps[e]:,}", *(f"{run['memory'][e]:.0f}" for run in found.values())] for e in shown]
    rows.append(["growth in 1,000 steps", *(f"{value:+.2f}" for value in growth)])
    ours = found[RUNS[0]]
    return [
        "# A long run",
        f"{given.steps:,} steps in {EPOCHS} epochs, each with validation, with {ours['callbacks']}, in "
        f"{ours['seconds']:.0f} s; {ours['finite']}. Beside it the same training without callbacks, and in plain "
        "Keras. Memory of each process in MiB; growth is the slope of the line through the second half.",
        table(["steps", *RUNS], rows),
    ]


def _soak(folder: Path, name: str, steps: int) -> dict[str, Any]:
    """Train in a child; what it found."""
    folder.mkdir()

    def work() -> None:
        x, y = arrays(BATCH * (steps // EPOCHS))
        model: Any = compiled()
        listed = callbacks(folder, every=500, gradients=50) if name == RUNS[0] else []
        if name == "plain Keras":
            model = keras.Model(model.inputs, model.output)
            model.compile("adam", loss=LOSSES, metrics={"kind": ["accuracy"], "size": ["mae"]})
        memory, began = Memory(), time.monotonic()
        validation = data(x[:80], {task: labels[:80] for task, labels in y.items()})
        fit = {"validation_data": validation, "epochs": EPOCHS, "shuffle": False, "verbose": 0}
        model.fit(data(x, y), callbacks=[memory, *listed], **fit)
        result = {
            "memory": memory.seen,
            "seconds": time.monotonic() - began,
            "callbacks": ", ".join(f"`{type(callback).__name__}`" for callback in listed),
            "finite": whether_finite(model),
        }
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")

    errors = folder / "errors.txt"
    if in_child(work, errors):
        raise RuntimeError(errors.read_text(encoding="utf-8"))
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))
