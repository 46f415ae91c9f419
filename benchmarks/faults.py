"""What a run survives: SIGKILL at random moments, faults one by one, and 20,000 steps with every callback.

Every child is a fork of this process, which has imported everything and has not started TensorFlow.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from benchmarks.document import ROOT, record
from benchmarks.kills import pipelines_killed, small_run_killed
from benchmarks.long_run import soaked
from benchmarks.single_faults import FAULTS
from benchmarks.small_run import in_child


def main(arguments: list[str] | None = None) -> None:
    if arguments is not None:  # called by a process that may have started TensorFlow
        subprocess.run([sys.executable, "-m", "benchmarks.faults", *arguments], cwd=ROOT, check=True)
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help="kills, pipelines, faults, soak; default all")
    parser.add_argument("--kills", type=int, default=50, help="how many times to kill, default 50")
    parser.add_argument("--pipeline-kills", type=int, default=10, help="how many times each pipeline, default 10")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no new kill after so many minutes")
    parser.add_argument("--steps", type=int, default=20_000, help="length of the long run, default 20000")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments, default 0")
    given = parser.parse_args()
    chosen = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in vars(given).items()
        if name != "parts" and value != parser.get_default(name)
    ]
    versions = f"Python {platform.python_version()}, TensorFlow {tf.__version__}, Keras {keras.version()}"
    for part in given.parts:
        with tempfile.TemporaryDirectory() as folder:
            title, *sections = PARTS[part](Path(folder), given)
        command = " ".join(["python -m benchmarks.faults", part, *chosen])
        made_by = f"{versions}, {platform.system()}. Made by `{command}`."
        text = "\n\n".join([title, made_by, *sections]) + "\n"
        record(f"faults_{part}", text)
        print(text, flush=True)


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
    "kills": small_run_killed,
    "pipelines": pipelines_killed,
    "faults": one_by_one,
    "soak": soaked,
}

if __name__ == "__main__":
    main()
