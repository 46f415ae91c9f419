"""Our training step beside those of PyTorch and torchjd, on the same graphs, in turn, with two threads each.

PyTorch lives in a virtual environment that is made for this, from the package index (several GB with the libraries for
GPUs that it brings along), or in the one whose Python is named. Both take the same batch sizes and optimizer; the
numbers of trained parameters are compared first. PyTorch's steps keep no metrics; ours do.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import keras
import tensorflow as tf

import mtl_keras as mtl
from benchmarks.document import publish, table
from benchmarks.graphs import CASES, Case
from benchmarks.speed import THREADS, batches, compiled
from mtl_keras.export._timing import time_side_by_side

STEPS = Path(__file__).parent / "programs" / "torch_steps.py"
PACKAGES = ("torch", "torchjd", "numpy")
OURS: dict[str, dict[str, Any]] = {
    "equal": {"weighting": "equal"},
    "mgda": {"weighting": "mgda", "scope": "parameters"},
}
# torchjd goes back through the trunk for all tasks at once or for one after the other: the faster counts
THEIRS = ("plain", "at once", "one by one")
# ours, theirs
ROWS = {"plain step": ("equal", ("plain",)), "exact MGDA": ("mgda", ("at once", "one by one"))}

Times = dict[str, tuple[float, float]]  # milliseconds by the clock and of the processor


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torch_side", description=__doc__)
    parser.add_argument(
        "--python", type=Path, help="Python of an environment with torch and torchjd; default: a new one"
    )
    parser.add_argument("--rounds", type=float, default=1.0, help="times the rounds of each case, default 1")
    parser.add_argument("--cases", type=int, nargs="+", help="only these graphs, from 0; default: all")
    options = parser.parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        python = options.python or _environment(Path(folder) / "venv")
        torch = Torch(python)
        measured = []
        for case in [CASES[index] for index in options.cases or range(len(CASES))]:
            times = step_times(case, torch, max(1, round(options.rounds * case.rounds)))
            measured.append((case, times))
            print(case.name, case.tasks, times, flush=True)
        torch.close()
    text = report(measured, torch.version)
    print(text)
    publish("torch", text)


class Torch:
    """The other process: it takes the steps that it is told to take."""

    def __init__(self, python: Path):
        command = [str(python), "-I", str(STEPS), str(THREADS)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version: str = self._answer()["torch"]

    def prepare(self, case: Case) -> int:
        """Make the models of a case; returns their number of trained parameters."""
        described = {key: getattr(case, key) for key in ("image", "batch", "tasks", "classes")}
        return self.ask({"case": {**described, "trunk": case.trunk.__name__}, "ways": THEIRS})["parameters"]

    def step(self, way: str) -> tuple[float, float]:
        taken = self.ask({"way": way})
        return taken["clock"], taken["processor"]

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"Expected an answer of {STEPS.name}. Received: status={self._process.wait()}. See above."
            )
        return json.loads(line)

    def close(self) -> None:
        self._process.communicate()


def step_times(case: Case, torch: Torch, rounds: int) -> Times:
    """Median milliseconds of each way's steps."""
    models = {way: compiled(mtl.MultiTaskModel(*case.graph()), case, **arguments) for way, arguments in OURS.items()}
    parameters = sum(int(v.value.shape.num_elements()) for v in models["equal"].trainable_variables)
    if (theirs := torch.prepare(case)) != parameters:
        raise RuntimeError(f"Expected {parameters} parameters. Received: {case.name}={theirs}. Make the graphs alike.")

    def ours(model: keras.Model) -> Callable[[], tuple[float, float]]:
        data = batches(case)
        model.fit(data, steps_per_epoch=1, verbose=0)
        iterator = iter(data)

        def step() -> tuple[float, float]:
            began, cpu = time.perf_counter(), time.process_time()
            model.train_function(iterator)
            return 1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - cpu)

        return step

    steps = {way: ours(model) for way, model in models.items()} | {way: partial(torch.step, way) for way in THEIRS}
    seen: dict[str, list[tuple[float, float]]] = {way: [] for way in steps}
    taken = {way: (lambda way=way, step=step: seen[way].append(step())) for way, step in steps.items()}
    time_side_by_side(taken, rounds, warm_up=case.warm_up)
    keras.utils.clear_session()
    gc.collect()
    counted = {way: pairs[case.warm_up :] for way, pairs in seen.items()}
    return {way: (median(t for t, _ in pairs), median(t for _, t in pairs)) for way, pairs in counted.items()}


def report(measured: list[tuple[Case, Times]], version: str) -> str:
    rows, slower = [], []
    for case, times in measured:
        for name, (ours, theirs) in ROWS.items():
            faster = min(theirs, key=lambda way: times[way][1])
            clock, processor = (times[ours][i] / times[faster][i] for i in (0, 1))
            ratio = f"**{processor:.2f}**" if round(processor, 2) > 1 else f"{processor:.2f}"
            cells = [f"{times[ours][1]:.1f}", f"{times[faster][1]:.1f}", f"{ratio} ({clock:.2f})"]
            rows.append([case.name, str(case.tasks), str(case.batch), name, *cells])
            if round(processor, 2) > 1:
                slower.append(f"{name}, {case.name}, {case.tasks} tasks")
    head = ["graph", "tasks", "batch", "step", "ours, ms", "theirs, ms", "ours / theirs"]
    return "\n\n".join(
        [
            f"Beside PyTorch {version} (plain step) and torchjd (`mtl_backward` with its MGDA, for all tasks at once or"
            " one by one, whichever is faster; ours solves the problem exactly): medians of steps that took turns, two"
            " threads, processor time, and in brackets the ratio by the clock on a machine that other programs shared."
            " Where ours is slower, the ratio is in bold.",
            table(head, rows),
            f"Slower than theirs: {'; '.join(slower)}." if slower else "Slower than theirs: no row.",
            "Made by `python -m benchmarks.torch_side`.",
        ]
    )


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


if __name__ == "__main__":
    main()
