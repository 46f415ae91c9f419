"""What every weighting is worth on Multi-Fashion, at its default, beside single-task models and tuned fixed weights.

All trainings have the same small budget. Each appends one line to a JSON-lines file, and a training found there is not
done again: stopped and started anew, this goes on where it was; a method added later is added to the table. A method
that fails is kept with its error, and tried again the next time.
"""

import argparse
import gc
import json
import time
from pathlib import Path

import keras
import numpy as np

import mtl_keras as mtl
from benchmarks.document import RESULTS, publish
from benchmarks.quality_report import FIXED, SINGLE, Line, report
from mtl_keras.weightings.base import Weighting
from pipelines.multi_fashion import dataset

SEEDS = (0, 1, 2)
SIZES = {"train": 12_000, "validation": 2_000, "test": 4_000}
EPOCHS, BATCH, LEARNING_RATE = 4, 128, 2e-3
TRUNK = {"filters": (8, 16, 32), "dense": (64,)}
SHARES = (0.3, 0.4, 0.6, 0.7)  # of the first task, for tuned fixed weights; 0.5 is equal weights

Data = dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    data = load(options.data, options.build)
    budget = {"sizes": SIZES, "epochs": EPOCHS, "batch": BATCH, "data": Path(options.data or "embedded").name}
    known = read(options.results, budget)
    names = options.methods or [*mtl.weightings.names(), *(SINGLE + task for task in dataset.TASKS), *fixed()]
    fit("equal", 0, {split: (x[:BATCH], {t: v[:BATCH] for t, v in y.items()}) for split, (x, y) in data.items()})
    for seed in SEEDS:  # outside, so that a run that is stopped has something of every method
        for name in names:
            if "error" not in known.get((name, seed), {"error": "not done"}):
                continue
            line = {"method": name, "seed": seed, "budget": budget, **attempt(name, seed, data)}
            known[name, seed] = line
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(line["method"], seed, line.get("test") or line["error"], f"{line['cpu_seconds']:.0f} s", flush=True)
    text = report(list(known.values()), dataset.TASKS)
    print(text)
    publish("quality", text)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    add = parser.add_argument
    add("data", nargs="?", type=Path, help="folder of the full Fashion-MNIST; default: the images in the repository")
    add("--build", type=Path, help="where the built pairs are kept, default: where tensorflow-datasets keeps its own")
    add("--results", type=Path, default=RESULTS / "quality.jsonl", help="one line for each training")
    add("--methods", nargs="+", help="only these trainings, by their names in the table; default: all")
    return parser.parse_args(arguments)


def load(folder: Path | None, build: Path | None) -> Data:
    """`{split: (images in 0..1, {task: labels})}`."""
    splits = dataset.load(build, folder, sizes=SIZES)
    data = {}
    for name in SIZES:
        examples = next(iter(getattr(splits, name).batch(SIZES[name]).as_numpy_iterator()))
        labels = {task: examples[task].astype("int32") for task in dataset.TASKS}
        data[name] = (examples["image"].astype("float32") / 255, labels)
    return data


def fixed() -> list[str]:
    return [f"{FIXED}{share:.1f} / {1 - share:.1f}" for share in SHARES]


def attempt(name: str, seed: int, data: Data) -> Line:
    """What a training gave, or why it gave nothing."""
    cpu, wall = time.process_time(), time.monotonic()
    try:
        outcome = fit(name, seed, data)
    except Exception as error:  # whatever it is: a method that fails stays in the table
        outcome = {"error": f"{type(error).__name__}: {error}"}
    # evaluation is the same for all, and small
    return {**outcome, "cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - wall}


def fit(name: str, seed: int, data: Data) -> Line:
    """Train one model and measure its accuracies."""
    keras.utils.clear_session()
    gc.collect()
    keras.utils.set_random_seed(seed)
    single = name.startswith(SINGLE)
    names = [name.removeprefix(SINGLE)] if single else list(dataset.TASKS)
    inputs = keras.Input((dataset.CANVAS, dataset.CANVAS, 1), name="image")
    tasks = [mtl.Task(task, mtl.heads.Classifier(10)) for task in names]
    model = mtl.build(inputs, mtl.sharing.Hard(mtl.trunks.Conv(**TRUNK)), tasks)
    method = weighting(name)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), weighting=method)
    mine = {split: (images, {task: labels[task] for task in names}) for split, (images, labels) in data.items()}
    # what tunes the fixed weights tunes those of `auto_lambda` too
    more = {"weighting_data": mine["validation"]} if method.validation_batches else {}
    model.fit(*mine["train"], batch_size=BATCH, epochs=EPOCHS, verbose=0, **more)
    scores = {}
    for split in ("validation", "test"):
        logs = model.evaluate(*mine[split], batch_size=500, return_dict=True, verbose=0)
        scores[split] = {
            task: float(logs[f"{task}_accuracy" if f"{task}_accuracy" in logs else "accuracy"]) for task in names
        }
    return scores


def weighting(name: str) -> Weighting:
    if name.startswith(SINGLE):
        return mtl.weightings.get("equal")
    if name.startswith(FIXED):
        shares = map(float, name.removeprefix(FIXED).split(" / "))
        # as equal weights, they add up to the number of tasks
        return mtl.weightings.Static({task: 2 * share for task, share in zip(dataset.TASKS, shares, strict=True)})
    return mtl.weightings.get(name)


def read(path: Path, budget: Line) -> dict[tuple[str, int], Line]:
    """The last line of each training with this budget, by method and seed."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(line["method"], line["seed"]): line for line in lines if line["budget"] == budget}


if __name__ == "__main__":
    main()
