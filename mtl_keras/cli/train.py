"""`mtl-keras train`: from a CSV file of images and labels to an exported model."""

from pathlib import Path
from typing import Annotated, Any

import typer


def _option(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, show_default=False)


def train(
    csv: Annotated[str | None, _option("CSV file that names the images and holds the labels.")] = None,
    image: Annotated[str | None, _option("Column with the paths of the images.")] = None,
    tasks: Annotated[
        list[str] | None,
        _option(
            "Task: COLUMN, COLUMN:KIND or NAME=COLUMN:KIND, KIND class, multilabel, number, ordinal or 'low<mid<high'.",
            "--task",
        ),
    ] = None,
    out: Annotated[str | None, _option("Folder of the versions; the next free number is taken.")] = None,
    config: Annotated[Path | None, _option("YAML file with the same options; those given here go before.")] = None,
    root: Annotated[str | None, _option("Folder of the images [that of the CSV file].")] = None,
    size: Annotated[int | None, _option("Side of the images in pixels [128].")] = None,
    resize: Annotated[str | None, _option("fit, fill or pad [fit].")] = None,
    channels: Annotated[int | None, _option("3 for colour, 1 for grey [3].")] = None,
    val: Annotated[float | None, _option("Share of the rows for validation [0.1].")] = None,
    test: Annotated[float | None, _option("Share of the rows for the last test [0.1].")] = None,
    split_column: Annotated[str | None, _option("Column that says train, val or test.")] = None,
    group: Annotated[str | None, _option("Column whose equal values stay in one split.")] = None,
    stratify: Annotated[str | None, _option("Task whose class frequencies every split keeps.")] = None,
    trunk: Annotated[str | None, _option("small, medium, large, or a network of keras.applications [small].")] = None,
    trunk_weights: Annotated[str | None, _option("Weights file for that network.")] = None,
    weighting: Annotated[str | None, _option("See mtl-keras list weightings [equal].")] = None,
    scope: Annotated[
        str | None, _option("features, parameters or last_layer, for gradient methods [features].")
    ] = None,
    epochs: Annotated[int | None, _option("At most [20].")] = None,
    patience: Annotated[int | None, _option("Epochs without improvement before training stops [5].")] = None,
    batch_size: Annotated[int | None, _option("Examples per step [64].")] = None,
    learning_rate: Annotated[float | None, _option("Of Adam [0.001].")] = None,
    balanced: Annotated[bool | None, _option("Let rare classes weigh more.", "--balanced/--unbalanced")] = None,
    augment: Annotated[list[str] | None, _option("Augmentation by name, e.g. flip; repeatable, in order.")] = None,
    missing: Annotated[list[str] | None, _option("A cell that means 'no label', e.g. NA; repeatable.")] = None,
    cache: Annotated[str | None, _option("auto, memory, none or a folder, for decoded images [auto].")] = None,
    check: Annotated[str | None, _option("pixels, headers or paths: what is looked at before [pixels].")] = None,
    skip_bad: Annotated[
        bool | None, _option("Leave out rows that cannot be used, and list them.", "--skip-bad/--no-skip-bad")
    ] = None,
    delimiter: Annotated[str | None, _option("Between the cells of the CSV file [,].")] = None,
    encoding: Annotated[str | None, _option("Of the CSV file [utf-8].")] = None,
    runs: Annotated[str | None, _option("Folder of the TensorBoard logs [runs].")] = None,
    resume: Annotated[
        str | None, _option("Folder of this run: killed and started again, it goes on from there.")
    ] = None,
    seed: Annotated[int | None, _option("Of splits, weights, order and augmentation [0].")] = None,
    strategy: Annotated[str | None, _option("auto, one, mirrored or multi_worker [auto].")] = None,
    precision: Annotated[str | None, _option("float32, mixed_float16 or mixed_bfloat16 [float32].")] = None,
) -> None:
    """Train on images and partly filled label columns, evaluate, export and report."""
    options = dict(locals())
    from mtl_keras.quiet import import_tensorflow

    import_tensorflow()
    from mtl_keras.cli.train_config import TrainConfig
    from mtl_keras.cli.train_run import run

    file = options.pop("config")
    run(TrainConfig.of(file, options))
