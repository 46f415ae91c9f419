"""`mtl-keras inspect` of a model: what it shares, and where it is cut."""

from pathlib import Path

from mtl_keras.cli.tables import print_table


def inspect_model(path: Path) -> None:
    """Show a model: tasks, shared and task parameters, the cut."""
    from mtl_keras.cli.loading import load

    model = load(path)
    from mtl_keras.models import partition

    parts = partition(model)
    shared = sum(layer.count_params() for layer in parts.shared_layers)
    own = {task: sum(layer.count_params() for layer in layers) for task, layers in parts.task_layers.items()}
    print(f"{model.name}: {shared + sum(own.values()):,} parameters, {shared:,} of them shared")
    print("cut: " + ", ".join(f"{name} {_shape(t)}" for name, t in zip(parts.cut_names, parts.cut, strict=True)))
    heads = {task.name: task.head for task in getattr(model, "tasks", [])}
    kinds = {task: heads[task].kind if heads.get(task) else "values" for task in own}
    rows = [[task, kinds[task], _shape(model.output[task]), f"{count:,}"] for task, count in own.items()]
    print_table(["task", "kind", "output", "own parameters"], rows)


def _shape(tensor: object) -> str:
    return "[" + ", ".join("batch" if side is None else str(side) for side in tensor.shape) + "]"  # type: ignore[attr-defined]
