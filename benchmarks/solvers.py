"""What the K×K problem of each gradient method costs: processor time of its weights, from a Gramian, in one graph."""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import tensorflow as tf

from benchmarks.document import publish, table
from benchmarks.speed import THREADS
from mtl_keras import weightings

TASKS = (2, 10, 40)
# so many problems, one after the other, in one call: a call itself costs as much as a small problem
IN_A_ROW, CALLS, WARM_UP = 10, 40, 20
NOTHING = "nothing"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solvers", description=__doc__)
    parser.parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    found = {num_tasks: costs(num_tasks) for num_tasks in TASKS}
    names = sorted(found[TASKS[-1]], key=lambda name: found[TASKS[-1]][name])
    rows = [[f"`{name}`", *(f"{found[k][name]:.2f}" if name in found[k] else "" for k in TASKS)] for name in names]
    text = "\n\n".join(
        [
            "Milliseconds of processor time that the weights cost in a step, by the number of tasks: medians over"
            " random Gramians of linearly independent gradients that conflict. Methods that need the whole Jacobian are"
            " not among them.",
            table(["method", *(f"{k} tasks" for k in TASKS)], rows),
            "Made by `python -m benchmarks.solvers`.",
        ]
    )
    print(text)
    publish("solvers", text)


def costs(num_tasks: int) -> dict[str, float]:
    """Milliseconds of one problem, by method."""
    rng = np.random.default_rng(0)
    jacobians = rng.normal(size=(IN_A_ROW, num_tasks, 4 * num_tasks)) + 0.5 * rng.normal(
        size=(IN_A_ROW, 1, 4 * num_tasks)
    )
    gramians = tf.constant(jacobians @ np.swapaxes(jacobians, 1, 2))
    solve = {name: solver(name, num_tasks) for name in methods(num_tasks)} | {NOTHING: idle}
    used: dict[str, list[float]] = {name: [] for name in solve}
    for _ in range(WARM_UP + CALLS):
        for name in rng.permutation(list(solve)):
            began = time.process_time()
            solve[name](gramians)
            used[name].append(1e3 * (time.process_time() - began) / IN_A_ROW)
    cost = {name: median(times[WARM_UP:]) for name, times in used.items()}
    return {name: cost[name] - cost[NOTHING] for name in cost if name != NOTHING}


def methods(num_tasks: int) -> list[str]:
    """Methods that read one Gramian and nothing else, wrappers left out."""
    made = {name: weightings.get(name) for name in weightings.names()}
    kept = [n for n, m in made.items() if m.reads == "gramian" and not m.cross_gramian and not hasattr(m, "inner")]
    return [name for name in kept if num_tasks > 2 or name != "krum"]  # which leaves out more than it has


def solver(name: str, num_tasks: int) -> Callable[[tf.Tensor], tf.Tensor]:
    method = weightings.get(name).bind(num_tasks)
    losses, present = tf.ones([num_tasks]), tf.ones([num_tasks], tf.bool)

    @tf.function(autograph=False)
    def solve(gramians: tf.Tensor) -> tf.Tensor:
        return tf.add_n([tf.cast(method.call(losses, g, present), tf.float64) for g in tf.unstack(gramians)])

    return solve


@tf.function(autograph=False)
def idle(gramians: tf.Tensor) -> tf.Tensor:
    return tf.add_n([g[0] for g in tf.unstack(gramians)])


if __name__ == "__main__":
    main()
