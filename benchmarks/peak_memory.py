"""What a training step needs at most of memory, counted in copies of the shared gradients.

Every measurement is a process of its own that takes a few steps on a graph of large dense layers and a small batch, so
that gradients are nearly all there is, and says how much memory it had at most. What plain Keras needs is subtracted.
"""

import argparse
import subprocess
import sys
from typing import Any

import keras
import numpy as np

import mtl_keras as mtl
from benchmarks.document import ROOT, publish, table

TASKS, UNITS, LAYERS, BATCH, STEPS = 4, 4096, 2, 8, 3
PLAIN = "plain Keras"
WAYS: dict[str, dict[str, Any]] = {
    "losses: `uncertainty`": {"weighting": "uncertainty"},
    "features: `cagrad`": {"weighting": "cagrad", "scope": "features"},
    "parameters: `cagrad`": {"weighting": "cagrad", "scope": "parameters"},
    "parameters: `graddrop`, which needs the whole Jacobian": {"weighting": "graddrop"},
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peak_memory", description=__doc__)
    parser.add_argument("--way", choices=[PLAIN, *WAYS], help="measure this one here and print the bytes")
    options = parser.parse_args(arguments)
    if options.way:
        print(measure(options.way))
        return
    peaks = {way: _in_a_process(way) for way in (PLAIN, *WAYS)}
    copy = 4 * LAYERS * UNITS * (UNITS + 1)
    rows = [[way, f"{(peak - peaks[PLAIN]) / copy:.1f}"] for way, peak in peaks.items() if way != PLAIN]
    text = "\n\n".join(
        [
            f"Peak memory of a step beyond that of plain Keras, in copies of the shared gradients ({TASKS} tasks,"
            f" {LAYERS} layers of {UNITS} units, {copy / 1e6:.0f} MB a copy, SGD). Plain Keras holds one copy; exact"
            f" gradients of {TASKS} tasks are {TASKS} copies, {TASKS - 1} more.",
            table(["training", "copies"], rows),
            "Made by `python -m benchmarks.peak_memory`.",
        ]
    )
    print(text)
    publish("memory", text)


def measure(way: str) -> int:
    """Bytes that this process has had at most, after some steps."""
    import resource  # where it is missing (Windows), this cannot be measured

    keras.utils.set_random_seed(0)
    inputs = features = keras.Input((UNITS,))
    for _ in range(LAYERS):
        features = keras.layers.Dense(UNITS, "relu")(features)
    names = [f"task{k}" for k in range(TASKS)]
    outputs = {name: keras.layers.Dense(1, name=name)(features) for name in names}
    kind = keras.Model if way == PLAIN else mtl.MultiTaskModel
    model = kind(inputs, outputs)
    model.compile(keras.optimizers.SGD(1e-4), loss=dict.fromkeys(names, "mse"), jit_compile=False, **WAYS.get(way, {}))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, UNITS)).astype("float32")
    model.fit(x, {name: x[:, k] for k, name in enumerate(names)}, batch_size=BATCH, verbose=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _in_a_process(way: str) -> int:
    command = [sys.executable, "-m", "benchmarks.peak_memory", "--way", way]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    print(way, f"{int(done.stdout.split()[-1]) / 1e6:.0f} MB", flush=True)
    return int(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
