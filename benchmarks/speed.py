"""What a training step costs, in steps of plain Keras on the same graph.

Processes with two threads. In each round every training takes one step, in an order drawn anew, as `fit` takes it: the
compiled train function on the next batch of a dataset that is held in memory. A ratio is that of two medians, and of
several processes the median: one and the same step can be slower in one process, by where its memory lies.
Processor time is measured beside the clock, since it hardly depends on what else the machine does.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

import keras
import tensorflow as tf

import mtl_keras as mtl
from benchmarks.document import RESULTS, publish, table
from benchmarks.graphs import CASES, Case
from mtl_keras.export._timing import time_side_by_side

MEASURED = RESULTS / "speed.json"
THREADS = 2
PLAIN, FORWARD, BOTH = "plain Keras", "trunk forward", "trunk forward and back"
# of each kind one: what the step costs hardly depends on the method
WAYS: dict[str, dict[str, Any]] = {
    "losses": {"weighting": "uncertainty"},
    "features": {"weighting": "cagrad", "scope": "features"},
    "last_layer": {"weighting": "cagrad", "scope": "last_layer"},
    "parameters": {"weighting": "cagrad", "scope": "parameters"},
}
AIM, LIMIT = 1.00, 1.05
FIRST_LIMIT = 2.0
PROCESSES = 3


@dataclass(frozen=True)
class Time:
    """Of one way of training.

    Attributes:
        clock: Median milliseconds of a step by the clock.
        processor: The same in processor time.
        first: Processor seconds of the first step, with tracing.
    """

    clock: float
    processor: float
    first: float


Times = dict[str, Time]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--rounds", type=float, default=1.0, help="times the rounds of each case, default 1")
    rows = range(len(CASES))
    parser.add_argument(
        "--cases", type=int, nargs="+", choices=rows, help="measure only these rows of the table again, from 0"
    )
    parser.add_argument("--processes", type=int, default=PROCESSES, help=f"for each case, default {PROCESSES}")
    parser.add_argument(
        "--once", type=int, choices=rows, help="measure this row in this process, and print what was measured"
    )
    options = parser.parse_args(arguments)
    if options.processes < 1:
        parser.error(f"Expected at least one process. Received: --processes {options.processes}.")
    if options.once is not None:
        print(json.dumps({way: asdict(t) for way, t in measured_here(CASES[options.once], options.rounds).items()}))
        return
    for index in options.cases or rows:
        case = CASES[index]
        command = [sys.executable, "-m", "benchmarks.speed", "--once", str(index), "--rounds", str(options.rounds)]
        found = [_last_line(command) for _ in range(options.processes)]
        MEASURED.write_text(json.dumps(_raw() | {_key(case): found}))
        print(*row(case, read()[_key(case)]), sep=" | ", flush=True)
    known = read()
    text = report([(case, known[_key(case)]) for case in CASES if _key(case) in known])
    print(text)
    publish("speed", text)


def _last_line(command: list[str]) -> Any:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _raw() -> dict[str, list]:
    return json.loads(MEASURED.read_text()) if MEASURED.exists() else {}


def read() -> dict[str, list[Times]]:
    """What was measured, by case, in each of the processes."""
    return {
        key: [{way: Time(**time_of) for way, time_of in times.items()} for times in runs]
        for key, runs in _raw().items()
    }


def measured_here(case: Case, rounds: float) -> Times:
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    return step_times(case, max(1, round(rounds * case.rounds)))


def _key(case: Case) -> str:
    return f"{case.name}, {case.tasks} tasks, batch {case.batch}"


def step_times(case: Case, rounds: int) -> Times:
    """What steps cost, by way of training, and what the trunk costs alone."""
    made = models(case)
    first = {way: first_step(case, model) for way, model in made.items()}
    trunk = made["features"].plan.trunk
    images = tf.constant(case.data(batches=1)[0])

    def step_of(way: str) -> Callable[[], Any]:
        iterator = iter(batches(case))
        return lambda: made[way].train_function(iterator)  # as `fit` calls it

    calls = {way: step_of(way) for way in made} | {
        FORWARD: partial(forward(trunk), images),
        BOTH: partial(both_ways(trunk), images),
    }
    used: dict[str, list[float]] = {name: [] for name in calls}

    def timed(name: str) -> None:
        began = time.process_time()
        calls[name]()
        used[name].append(1e3 * (time.process_time() - began))

    clock = time_side_by_side({name: partial(timed, name) for name in calls}, rounds, warm_up=case.warm_up)
    keras.utils.clear_session()
    gc.collect()
    return {name: Time(median(clock[name]), median(used[name][case.warm_up :]), first.get(name, 0.0)) for name in calls}


def forward(trunk: keras.Model) -> Callable[[tf.Tensor], Any]:
    return tf.function(partial(trunk, training=True))


def both_ways(trunk: keras.Model) -> Callable[[tf.Tensor], Any]:
    """The trunk forward, and one gradient at its end carried back to all its variables."""

    def run(images: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            features = trunk(images, training=True)
        return tape.gradient(features, [v.value for v in trunk.trainable_variables])

    return tf.function(run)


def bound(case: Case, times: Times) -> float:
    """The least that exact gradients of all tasks cost: a plain step, and K - 1 more ways back through the trunk."""
    back = times[BOTH].processor - times[FORWARD].processor
    return 1.0 + (case.tasks - 1) * back / times[PLAIN].processor


def models(case: Case) -> dict[str, keras.Model]:
    """One model for each way of training, all with the same first values."""
    ours = {way: compiled(mtl.MultiTaskModel(*case.graph()), case, **arguments) for way, arguments in WAYS.items()}
    return {PLAIN: compiled(keras.Model(*case.graph()), case), **ours}


def compiled(model: keras.Model, case: Case, **arguments: Any) -> keras.Model:
    metrics = {name: ["accuracy"] for name in case.losses()}
    model.compile(keras.optimizers.Adam(1e-3), loss=case.losses(), metrics=metrics, jit_compile=False, **arguments)
    return model


def first_step(case: Case, model: keras.Model) -> float:
    """Processor seconds of a `fit` of one step."""
    began = time.process_time()
    model.fit(batches(case), steps_per_epoch=1, verbose=0)
    return time.process_time() - began


def batches(case: Case) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(case.data()).batch(case.batch).cache().repeat()


def row(case: Case, runs: list[Times]) -> list[str]:
    """One row of the table: the plain step in ms, then ratios; those over the limit in bold."""
    least = median(bound(case, times) for times in runs)
    limits = dict.fromkeys(WAYS, LIMIT) | {"parameters": 1.1 * least}
    plain = median(times[PLAIN].processor for times in runs)
    cells = [f"{marked(ratio(runs, way, 'processor'), limits[way])} ({ratio(runs, way, 'clock'):.2f})" for way in WAYS]
    return [case.name, str(case.tasks), str(case.batch), f"{plain:.1f}", *cells, f"{least:.2f}"]


def ratio(runs: list[Times], way: str, what: str) -> float:
    """Of one way of training to plain Keras, the median over the processes."""
    return median(getattr(times[way], what) / getattr(times[PLAIN], what) for times in runs)


def marked(ratio: float, limit: float) -> str:
    return f"**{ratio:.2f}**" if round(ratio, 2) > limit else f"{ratio:.2f}"


def report(measured: list[tuple[Case, list[Times]]]) -> str:
    head = ["graph", "tasks", "batch", "plain Keras, ms", *(f"`{way}`" for way in WAYS), "bound of `parameters`"]
    many, runs = max(measured, key=lambda pair: pair[0].tasks)
    first = [marked(ratio(runs, way, "first"), FIRST_LIMIT) for way in WAYS]
    plain = median(times[PLAIN].first for times in runs)
    counts = [len(runs) for _, runs in measured]
    processes = f"{counts[0]}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    return "\n\n".join(
        [
            "A training step in steps of plain Keras on the same graph: medians in a process with two threads in which"
            f" all take turns, and of {processes} such processes the median; processor time, and in brackets the clock"
            " on a machine that other programs shared."
            " `losses` is `uncertainty`, the others are the scopes of `cagrad`; what the K×K problems of other methods"
            f" cost says the table below. The aim is {AIM:.2f}, the limit {LIMIT:.2f}. The bound of `parameters` is"
            " what exact gradients of every task cost at least: a plain step, K - 1 more ways back through the trunk;"
            " its limit is a tenth more. What is over its limit is in bold.",
            table(head, [row(case, times) for case, times in measured]),
            f"The first step with {many.tasks} heads, tracing included: {plain:.0f} s of processor time in"
            f" plain Keras, and this many times that (limit {FIRST_LIMIT:g}):",
            table([f"`{way}`" for way in WAYS], [first]),
            "Made by `python -m benchmarks.speed`.",
        ]
    )


if __name__ == "__main__":
    main()
