"""`mtl-keras evaluate`: a saved model on arrays, or on what a training run held out."""

from pathlib import Path
from typing import Annotated

import typer

from mtl_keras.cli.tables import print_table
from mtl_keras.errors import message


def evaluate(
    path: Annotated[Path, typer.Argument(help="A compiled .keras file.")],
    data: Annotated[
        Path,
        typer.Argument(
            help="An .npz file of an array for each input and each task, by name, or the config.yaml of a training run."
        ),
    ],
    batch_size: Annotated[int, typer.Option(min=1)] = 128,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluate a .keras model on labelled data, per task and overall."""
    import json

    from mtl_keras.cli.loading import load, read_data

    model = load(path)
    from mtl_keras.analysis import score_logs
    from mtl_keras.data import Source
    from mtl_keras.data.baselines import baselines, references

    if not getattr(model, "compiled", False) or not hasattr(model, "plan"):
        raise ValueError(
            message("a MultiTaskModel that was saved compiled", "compile it and save it again", path=str(path))
        )
    given = read_data(data, model)
    reference = None
    if isinstance(given, Source):
        # as the training run judged its errors: beside what one constant answer would do
        reference = references(baselines(given, given.held_out))
        given = given.batches(batch_size, split=given.held_out), None
    x, y = given
    logs = model.evaluate(x, y, batch_size=batch_size, return_dict=True, verbose=0)
    logs = {name: float(value) for name, value in logs.items()}
    found, overall = score_logs(model, logs, reference)
    if as_json:
        print(json.dumps({**logs, "overall": overall}))
        return
    rows = [
        [task, key.removeprefix(f"{task}_"), f"{value:.4f}", f"{logs[f'{task}_loss']:.4f}"]
        for task, (key, value, _) in found.items()
    ]
    rows.append(["overall", "", "-" if overall is None else f"{overall:.4f}", f"{logs['loss']:.4f}"])
    print_table(["task", "metric", "value", "loss"], rows)
