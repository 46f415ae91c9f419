"""The table of `benchmarks.quality`, and what it shows, from the lines of its trainings."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from benchmarks.document import table
from mtl_keras import weightings
from mtl_keras.weightings.wrapper import Wrapper

SINGLE = "single task: "
FIXED = "fixed weights: "
EQUAL = "equal"

# {"method", "seed", "budget", "cpu_seconds", "wall_seconds"} and {"validation", "test"} or {"error"}
Line = dict[str, Any]


def report(lines: Sequence[Line], tasks: Sequence[str]) -> str:
    """Budget, table and what it shows.

    Args:
        lines: One for each training, all of the same budget.
        tasks: The tasks' names.
    """
    done, failed = _by_method(lines)
    alone = {task: done.pop(SINGLE + task) for task in tasks}
    base = {task: mean(line["test"][task] for line in alone[task]) for task in tasks}
    fixed = {name: done.pop(name) for name in list(done) if name.startswith(FIXED)}
    tuned = max([*fixed, EQUAL], key=lambda name: _validation(fixed.get(name) or done[EQUAL], tasks))
    rows = {_label(name): (own, gains(own, base)) for name, own in done.items()}
    if tuned != EQUAL:
        rows[f"tuned {tuned}"] = (fixed[tuned], gains(fixed[tuned], base))
    ordered = sorted(rows, key=lambda name: -mean(rows[name][1]))
    together = [dict(_both(pair, tasks)) for pair in zip(*alone.values(), strict=True)]
    cells = [_cells("single-task models", together, gains(together, base), tasks)]
    cells += [_cells(name, *rows[name], tasks) for name in ordered]
    head = ["weighting", *tasks, "relative gain, %", "processor s", "clock s"]
    errors = [f"- `{name}`: {own[-1]['error']}" for name, own in sorted(failed.items())]
    return "\n\n".join(
        [
            _budget(lines[0]["budget"], len(alone[tasks[0]])),
            table(head, cells),
            *(["Not trained:", "\n".join(errors)] if errors else []),
            _shown(rows, list(fixed), tuned),
            "Made by `python -m benchmarks.quality DIR`, with the folder of the full Fashion-MNIST.",
        ]
    )


def gains(lines: Sequence[Line], base: dict[str, float]) -> list[float]:
    """Of each seed the relative gain in percent: the mean over tasks of `(M - B) / B`; higher is better."""
    return [100 * mean((line["test"][task] - base[task]) / base[task] for task in base) for line in lines]


def _by_method(lines: Sequence[Line]) -> tuple[dict[str, list[Line]], dict[str, list[Line]]]:
    """Methods that never failed, with the seeds that all of them have, so that like meets like; and the others."""
    done: dict[str, dict[int, Line]] = {}
    failed: dict[str, list[Line]] = {}
    for line in sorted(lines, key=lambda line: line["seed"]):
        if "error" in line:
            failed.setdefault(line["method"], []).append(line)
        else:
            done.setdefault(line["method"], {})[line["seed"]] = line
    done = {method: own for method, own in done.items() if method not in failed}
    seeds = sorted(set.intersection(*(set(own) for own in done.values())))
    return {method: [own[seed] for seed in seeds] for method, own in done.items()}, failed


def _both(pair: Sequence[Line], tasks: Sequence[str]) -> Line:
    """The models of one seed, one for each task, as one line."""
    seconds = {key: sum(line[key] for line in pair) for key in ("cpu_seconds", "wall_seconds")}
    return {"test": {task: line["test"][task] for task, line in zip(tasks, pair, strict=True)}, **seconds}


def _validation(lines: Sequence[Line], tasks: Sequence[str]) -> float:
    return mean(line["validation"][task] for line in lines for task in tasks)


def _label(name: str) -> str:
    """A method's name, with what is inside of wrappers."""
    method = weightings.get(name)
    inside = [part.name for part in method.inners] if isinstance(method, Wrapper) else []
    return f"`{name}`" + (f" of {', '.join(f'`{part}`' for part in inside)}" if inside else "")


def _cells(name: str, lines: Sequence[Line], gain: Sequence[float], tasks: Sequence[str]) -> list[str]:
    accuracies = [_spread([100 * line["test"][task] for line in lines]) for task in tasks]
    seconds = [f"{mean(line[key] for line in lines):.0f}" for key in ("cpu_seconds", "wall_seconds")]
    return [name, *accuracies, _spread(gain, sign="+"), *seconds]


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and standard deviation; of one value, that value."""
    return f"{mean(values):{sign}.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def _budget(budget: Line, seeds: int) -> str:
    sizes = budget["sizes"]
    spread = f" mean ± standard deviation over {seeds} seeds." if seeds > 1 else " of one seed: no spread is known."
    return (
        f"Multi-Fashion, {sizes['train']:,} pairs of training images, {budget['epochs']} epochs in batches of"
        f" {budget['batch']}, Adam, a trunk of three small convolutions and a dense layer: a small budget, the same for"
        f" all. Accuracy in percent on {sizes['test']:,} test pairs,{spread} The relative gain is the mean over tasks"
        " of the accuracy's change against the single-task models, each of which has the same trunk for its task alone;"
        " higher is better. Gradient methods take the gradients of"
        " all shared variables; fixed weights and `auto_lambda` are tuned on the validation pairs. Seconds are those of"
        " one training with tracing and evaluation: of the processor, and by the clock of a machine that other programs"
        " shared."
    )


def _shown(rows: dict[str, tuple[Sequence[Line], list[float]]], fixed: Sequence[str], tuned: str) -> str:
    """What the table shows, counted."""
    equal = rows[f"`{EQUAL}`"][1]
    others = {name: gain for name, (_, gain) in rows.items() if gain != equal}
    always = [name for name, gain in others.items() if all(a > b for a, b in zip(gain, equal, strict=True))]
    never = [name for name, gain in others.items() if all(a < b for a, b in zip(gain, equal, strict=True))]
    above_single = sum(mean(gain) > 0 for _, gain in rows.values())
    shares = ", ".join(name.removeprefix(FIXED) for name in fixed)
    return "\n".join(
        [
            "What it shows:",
            "",
            f"- Better than the single-task models on average: {above_single} of {len(rows)}.",
            f"- Better than equal weights with every seed: {_named(always, others)}. If all methods were worth the"
            f" same, it would be about {len(others) / 2 ** len(equal):.0f} of {len(others)}.",
            f"- Worse than equal weights with every seed: {_named(never, others)}.",
            f"- Of the fixed weights {shares} and equal ones, the best on the validation pairs are"
            f" {'the equal ones' if tuned == EQUAL else tuned.removeprefix(FIXED)}.",
        ]
    )


def _named(names: Sequence[str], of: dict[str, list[float]]) -> str:
    """How many, and which, the best first."""
    ordered = sorted(names, key=lambda name: -mean(of[name]))
    return f"{len(ordered)} of {len(of)}{' (' + ', '.join(ordered) + ')' if ordered else ''}"
