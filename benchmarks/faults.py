"""What a run survives: SIGKILL at 50 random moments, faults one by one, and 20,000 steps with every callback.

Every child is a fork of this process, which has imported everything and has not started TensorFlow.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from benchmarks.document import ROOT, record
from benchmarks.long_run import soaked
from benchmarks.single_faults import FAULTS
from benchmarks.small_run import (
    BATCH,
    EPOCHS,
    EXAMPLES,
    arrays,
    callbacks,
    compiled,
    data,
    digest,
    in_child,
)

BEGUN = "begun"


def main(arguments: list[str] | None = None) -> None:
    if arguments is not None:  # called by a process that may have started TensorFlow
        subprocess.run([sys.executable, "-m", "benchmarks.faults", *arguments], cwd=ROOT, check=True)
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help="kills, faults, soak; default all")
    parser.add_argument("--kills", type=int, default=50, help="how many times to kill, default 50")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no new kill after so many minutes")
    parser.add_argument("--steps", type=int, default=20_000, help="length of the long run, default 20000")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments, default 0")
    given = parser.parse_args()
    versions = f"Python {platform.python_version()}, TensorFlow {tf.__version__}, Keras {keras.version()}"
    for part in given.parts:
        with tempfile.TemporaryDirectory() as folder:
            title, *sections = PARTS[part](Path(folder), given)
        made_by = f"{versions}, {platform.system()}. Made by `python -m benchmarks.faults {part}`."
        text = "\n\n".join([title, made_by, *sections]) + "\n"
        record(f"faults_{part}", text)
        print(text, flush=True)


# -- killed at random moments ------------------------------------------------------------------------------------------


class Begun(keras.callbacks.Callback):
    """Leaves a file after the first step, so that the moments of the kills lie in training, and times the rest."""

    state_attributes = ()

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder
        self.began: float | None = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.began is None:
            self.began = time.monotonic()
            (self.folder / BEGUN).touch()

    def seconds(self) -> float:
        return time.monotonic() - (self.began or 0.0)


def attempt(folder: Path) -> None:
    """The run from its beginning, as a program would do it; writes `result.json` at the end."""
    tf.config.experimental.enable_op_determinism()
    model = compiled()
    x, y = arrays()
    begun = Begun(folder)
    history = model.fit(
        data(x, y),
        validation_data=tf.data.Dataset.from_tensor_slices((x, y)).batch(32),
        epochs=EPOCHS,
        callbacks=[begun, *callbacks(folder, every=3)],
        verbose=0,
    )
    seconds = begun.seconds()
    best = keras.models.load_model(folder / "best.keras")
    found = {"weights": digest(model), "best model": digest(best), "logs": history.history}
    table = (folder / "resume" / "history.csv").read_text(encoding="utf-8")
    result = {"seconds": seconds, "found": {**found, "table of logs": table}}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def killed(place: Path, given: argparse.Namespace) -> list[str]:
    """Kill attempts at moments that are even over the training time; whenever a run gets through, compare it."""
    whole, folder, errors = place / "whole", place / "killed", place / "errors.txt"
    whole.mkdir()
    if in_child(lambda: attempt(whole), errors):
        raise RuntimeError(errors.read_text(encoding="utf-8"))
    wanted = json.loads((whole / "result.json").read_text(encoding="utf-8"))
    rng = random.Random(given.seed)
    happened, finished, differing, half = 0, 0, dict.fromkeys(wanted["found"], 0), 0
    until, ended = time.monotonic() + 60 * given.minutes, os.WEXITED | os.WNOHANG | os.WNOWAIT
    while folder.is_dir() or (happened < given.kills and time.monotonic() < until):
        folder.mkdir(exist_ok=True)
        (folder / BEGUN).unlink(missing_ok=True)

        def kill(child: int) -> None:
            while not (folder / BEGUN).exists() and os.waitid(os.P_PID, child, ended) is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.7 * wanted["seconds"]))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

        status = in_child(
            lambda: attempt(folder), errors, kill if happened < given.kills and time.monotonic() < until else None
        )
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            happened += 1
            half += bool(list((folder / "resume").glob(".unfinished-*")))
            continue
        if status:
            raise RuntimeError(errors.read_text(encoding="utf-8"))
        found = json.loads((folder / "result.json").read_text(encoding="utf-8"))["found"]
        finished += 1
        for key, value in found.items():
            differing[key] += value != wanted["found"][key]
        shutil.rmtree(folder)
    rows = "\n".join(f"| {key} | {count} of {finished} |" for key, count in differing.items())
    return [
        "# Killed at random moments",
        f"{happened} kills at random moments of training: {EPOCHS} epochs of {EXAMPLES // BATCH} steps, all callbacks, "
        f"a checkpoint every 3 steps. {half} of them came while a checkpoint was being written. {finished} runs "
        "reached their end in spite of them. How many of these differed from a run that was never killed, bit for bit:",
        f"| what | different |\n|---|---|\n{rows}",
    ]


# -- faults, one by one ------------------------------------------------------------------------------------------------


def one_by_one(place: Path, given: argparse.Namespace) -> list[str]:
    """Each fault in a child of its own, which says in a sentence what happened."""
    rows = []
    for number, (name, work) in enumerate(FAULTS.items()):
        folder, errors = place / f"fault{number}", place / f"fault{number}.txt"
        folder.mkdir()

        def told(work: Callable[[Path], str] = work, folder: Path = folder) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                (folder / "told").write_text(work(folder), encoding="utf-8")

        status = in_child(told, errors)
        text = (folder / "told").read_text(encoding="utf-8") if not status else "failed: " + errors.read_text("utf-8")
        rows.append(f"| {name} | {' '.join(text.replace(str(folder), 'runs').split())} |")
    return ["# Faults, one by one", "| fault | what happens |\n|---|---|\n" + "\n".join(rows)]


PARTS: dict[str, Callable[[Path, argparse.Namespace], list[str]]] = {
    "kills": killed,
    "faults": one_by_one,
    "soak": soaked,
}

if __name__ == "__main__":
    main()
