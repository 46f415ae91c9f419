"""Runs that are killed by SIGKILL at random moments, started again, and killed again, beside one that never is."""

import contextlib
import functools
import hashlib
import io
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

import mtl_keras as mtl
from benchmarks.document import table
from benchmarks.small_run import BATCH, EPOCHS, EXAMPLES, arrays, callbacks, compiled, data, digest, in_child
from mtl_keras.export import Manifest
from pipelines.clothing import pipeline as clothing
from pipelines.multi_fashion import pipeline as multi_fashion

BEGUN, RESULT = "begun", "result.json"
# does the whole run in a folder, and leaves there when it has begun, and what it found
Attempt = Callable[[Path], None]


class Begun(keras.callbacks.Callback):
    """Leaves a file when the first step is done, so that no kill comes before training, and times it."""

    state_attributes = ()

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder
        self.began = self.ended = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.note()

    def on_train_end(self, logs: Any = None) -> None:
        self.note()  # nothing was left to train
        self.ended = time.monotonic()

    def note(self) -> None:
        if not self.began:
            self.began = time.monotonic()
            (self.folder / BEGUN).touch()

    def write(self, **found: Any) -> None:
        """Leave the result of a run that has come to its end."""
        result = {"seconds": self.ended - self.began, "found": found}
        (self.folder / RESULT).write_text(json.dumps(result), encoding="utf-8")


@dataclass
class Killed:
    """What came of it: how many kills, how many while a checkpoint was written, how many runs ended, what differed."""

    kills: int
    unfinished: int
    ended: int
    differing: dict[str, int]

    def row(self) -> list[str]:
        return [str(self.kills), str(self.ended), *(f"{count} of {self.ended}" for count in self.differing.values())]


def kill(attempt: Attempt, place: Path, kills: int, seed: int, minutes: float = float("inf")) -> Killed:
    """Kill attempts at moments that are even over the time of training; whenever one gets through, compare it."""
    whole, folder, errors = place / "whole", place / "killed", place / "errors.txt"
    whole.mkdir(parents=True)
    if in_child(lambda: attempt(whole), errors):
        raise RuntimeError(errors.read_text(encoding="utf-8"))
    wanted = json.loads((whole / RESULT).read_text(encoding="utf-8"))
    rng = random.Random(seed)
    found = Killed(0, 0, 0, dict.fromkeys(wanted["found"], 0))
    until, ended = time.monotonic() + 60 * minutes, os.WEXITED | os.WNOHANG | os.WNOWAIT
    while folder.is_dir() or (found.kills < kills and time.monotonic() < until):
        folder.mkdir(exist_ok=True)
        (folder / BEGUN).unlink(missing_ok=True)

        def end(child: int) -> None:
            while not (folder / BEGUN).exists() and os.waitid(os.P_PID, child, ended) is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.7 * wanted["seconds"]))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

        more = found.kills < kills and time.monotonic() < until
        status = in_child(lambda: attempt(folder), errors, end if more else None)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            found.kills += 1
            found.unfinished += bool(list(folder.rglob(".unfinished-*.npz")))
            continue
        if status:
            raise RuntimeError(errors.read_text(encoding="utf-8"))
        found.ended += 1
        for key, value in json.loads((folder / RESULT).read_text(encoding="utf-8"))["found"].items():
            found.differing[key] += value != wanted["found"][key]
        shutil.rmtree(folder)
    return found


# -- a small run with everything in it ---------------------------------------------------------------------------------


def small_run(folder: Path) -> None:
    """The run from its beginning, as a program would do it."""
    tf.config.experimental.enable_op_determinism()
    model = compiled()
    x, y = arrays()
    begun = Begun(folder)
    validation = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    listed = [begun, *callbacks(folder, every=3)]
    history = model.fit(data(x, y), validation_data=validation, epochs=EPOCHS, callbacks=listed, verbose=0)
    best = digest(keras.models.load_model(folder / "best.keras"))
    logs = (folder / "resume" / "history.csv").read_text(encoding="utf-8")
    begun.write(**{"weights": digest(model), "best model": best, "logs": history.history, "table of logs": logs})


def small_run_killed(place: Path, given: Any) -> list[str]:
    found = kill(small_run, place, given.kills, given.seed, given.minutes)
    rows = [[key, f"{count} of {found.ended}"] for key, count in found.differing.items()]
    return [
        "# Killed at random moments",
        f"{found.kills} kills at random moments of training: {EPOCHS} epochs of {EXAMPLES // BATCH} steps, all "
        f"callbacks, a checkpoint every 3 steps. {found.unfinished} of them came while a checkpoint was being written. "
        f"{found.ended} runs reached their end in spite of them. How many of these differed from a run that was never "
        "killed, bit for bit:",
        table(["what", "different"], rows),
    ]


# -- pipelines ---------------------------------------------------------------------------------------------------------

SMALL = ["--pairs", "512", "--epochs", "4", "--batch-size", "64", "--weighting", "uncertainty"]
PIPELINES: dict[str, tuple[Callable[[list[str]], Path], list[str], int]] = {
    "multi_fashion": (multi_fashion.main, [*SMALL, "--strategy", "one"], 1),
    "multi_fashion, two replicas": (multi_fashion.main, [*SMALL, "--strategy", "mirrored"], 2),
    "clothing": (clothing.main, ["--epochs", "3", "--strategy", "one"], 1),
}


def pipeline_run(
    main: Callable[[list[str]], Path], options: list[str], replicas: int, built: Path, folder: Path
) -> None:
    """The command `python -m pipelines.<name> --resume ...`, on so many logical CPU devices."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    begun, fit = Begun(folder), mtl.MultiTaskModel.fit

    def watched(model: Any, *arguments: Any, callbacks: list[Any], **more: Any) -> Any:
        return fit(model, *arguments, callbacks=[begun, *callbacks], **more)

    run, output = folder / "run", folder / "savedmodels"
    places = ["--build", str(built), "--resume", str(run), "--output", str(output)]
    with mock.patch.object(mtl.MultiTaskModel, "fit", watched), contextlib.redirect_stdout(io.StringIO()):
        version = main([*options, *places])
    # layers that draw numbers get a new seed where they are loaded, which depends on how many were drawn before
    keras.utils.set_random_seed(0)
    model = keras.models.load_model(version / "model.keras")
    begun.write(
        weights=digest(model),
        logs=(run / "checkpoints" / "history.csv").read_text(encoding="utf-8"),
        **{"test metrics": Manifest.read(version).metrics},
        versions=sorted(path.name for path in output.iterdir()),
        **{"LiteRT file": hashlib.sha256((version / "model.tflite").read_bytes()).hexdigest()},
    )


def pipelines_killed(place: Path, given: Any) -> list[str]:
    rows, head = [], ["pipeline", "kills", "runs that ended"]
    for name, (main, options, replicas) in PIPELINES.items():
        attempt = functools.partial(pipeline_run, main, options, replicas, place / "built")
        found = kill(attempt, place / name, given.pipeline_kills, given.seed, given.minutes)
        rows.append([name, *found.row()])
        head = [*head[:3], *found.differing]
        print(rows[-1], flush=True)
    commands = "\n".join(f"- {name}: `{' '.join(options)}`" for name, (_, options, _) in PIPELINES.items())
    return [
        "# Pipelines killed at random moments",
        "Each pipeline with `--resume`, killed by SIGKILL at random moments after its first step (in its export too, "
        "where little was left to train), started again and killed again. How many of the runs that ended differed "
        "from one that was never killed, bit for bit:"
        f"\n\n{commands}",
        table(head, rows),
    ]
