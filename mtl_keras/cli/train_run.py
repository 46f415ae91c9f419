"""A training run from its configuration to the version folder."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from mtl_keras import callbacks, data, distribute, sharing, trunks, weightings
from mtl_keras.analysis import task_metrics
from mtl_keras.analysis.run_report import table_row
from mtl_keras.cli.train_config import TRUNKS, TrainConfig
from mtl_keras.cli.watching import Watching
from mtl_keras.data.baselines import baselines, references
from mtl_keras.errors import message
from mtl_keras.finished_run import CHECKPOINTS, FinishedRun, check_output
from mtl_keras.images import ImageFormat
from mtl_keras.models import build
from mtl_keras.training.compile_state import check_method

LEFT_OUT = "left_out.csv"
SHOWN = 12  # test images in the picture of predictions


def run(config: TrainConfig) -> Path:
    """Train, evaluate, export and report; returns the version folder."""
    precisions = ["float32", "mixed_float16", "mixed_bfloat16"]
    if config.precision not in precisions:
        raise ValueError(message(f"a precision among {precisions}", "choose one", precision=config.precision))
    # what can be wrong with the options shows before any image is read
    strategy, method = distribute.strategy(config.strategy), weightings.get(config.weighting)
    check_method(method, config.scope, "unweighted")
    trunk, steps = make_trunk(config), augmentations(config.augment)
    check_output(config.out)
    keras.config.set_dtype_policy(config.precision)
    # of several workers all train, and the chief writes
    new = Path(config.runs) / f"{Path(config.out).name}-{time.strftime('%Y%m%d-%H%M%S')}"
    place = distribute.own_folder(Path(config.resume) if config.resume else new)
    source = read_source(config, place)
    config = config.with_kinds({task: kind.kind for task, kind in source.kinds.items()})
    config.write(place / "config.yaml")
    facts = data_section(source)
    print(f"{facts}\n")

    # after the data: reading them for the first time may have drawn numbers
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        tasks = source.tasks(balanced=config.balanced)
        model = build(source.input(), sharing.Hard(trunk), tasks, name=_plain(Path(config.out).name))
    model.compile(keras.optimizers.Adam(config.learning_rate), weighting=method, scope=config.scope)
    train = source.batches(config.batch_size, training=True, augment=steps, strategy=strategy)
    has_validation = "val" in source.sizes
    validation = source.batches(config.batch_size, split="val", strategy=strategy) if has_validation else None

    board = callbacks.TaskBoard(place)
    stop = callbacks.EarlyStopping(patience=config.patience, validated=has_validation)
    print(f"Training: {model.count_params():,} parameters, {len(train)} steps an epoch, at most {config.epochs} epochs")
    print(f"Curves: {board.how_to_open()}")
    began = time.monotonic()
    history = model.fit(
        train,
        validation_data=validation,
        epochs=config.epochs,
        verbose=0,
        callbacks=[callbacks.Progress(), board, stop, *resuming(config.resume)],
    ).history
    seconds = time.monotonic() - began

    split = source.held_out
    held_out = source.batches(config.batch_size, split=split, strategy=strategy)
    logs = model.evaluate(held_out, return_dict=True, verbose=0)
    facts += lost_section(source)
    constant = baselines(source, split)
    if not distribute.is_chief():
        distribute.wait_for_all(strategy)
        return Path(config.out)

    def extras(folder: Path) -> None:
        config.write(folder / "config.yaml")
        if (place / LEFT_OUT).is_file():
            shutil.copyfile(place / LEFT_OUT, folder / LEFT_OUT)

    finished = FinishedRun(
        Path(config.out).name,
        model,
        history,
        seconds,
        logs,
        examples=next(iter(source.batches(SHOWN, split=split))),
        before=source.before,
        settings={name: value for name, value in vars(config).items() if name != "tasks"},
        reference=references(constant),
        note=_against_constant(task_metrics(model, logs), constant, split),
        sections={"Data": facts},
        resume=config.resume,
    )
    version = finished.write(config.out, extras)
    distribute.wait_for_all(strategy)
    return version


def resuming(run: str | Path | None) -> list[callbacks.Resume]:
    """What takes up a run that ended early, bit for bit, where its folder is named with `--resume`."""
    if run is None:
        return []
    tf.config.experimental.enable_op_determinism()
    return [callbacks.Resume(Path(run) / CHECKPOINTS)]


def read_source(config: TrainConfig, place: Path) -> data.Source:
    """The source that a configuration describes; rows that are left out are listed in `place`."""
    splits = data.Splits(config.val, config.test, config.seed, config.split_column, config.group, config.stratify)
    if config.skip_bad:
        place.mkdir(parents=True, exist_ok=True)
    with Watching() as progress:
        return data.from_csv(
            config.csv,
            config.image,
            {task: _column(settings, config.missing) for task, settings in config.tasks.items()},
            root=config.root,
            image_size=image_format(config),
            splits=splits,
            check=config.check,
            skip_bad=place / LEFT_OUT if config.skip_bad else False,
            cache=None if config.cache == "none" else config.cache,
            delimiter=config.delimiter,
            encoding=config.encoding,
            seed=config.seed,
            progress=progress,
        )


def _column(settings: Mapping[str, Any], missing: list[str]) -> data.Column:
    return data.Column(**{**settings, "missing": (*settings.get("missing", ()), *missing)})


def image_format(config: TrainConfig) -> ImageFormat:
    """What the image files become."""
    size = tuple(config.size) if isinstance(config.size, list) else config.size
    return ImageFormat.of(size, resize=config.resize, channels=config.channels)


def make_trunk(config: TrainConfig) -> trunks.Trunk:
    """The trunk by name, as large as the images ask for."""
    height, width, channels = image_format(config).shape
    if config.trunk not in TRUNKS:
        if channels != 3:
            raise ValueError(
                message("colour images for a network of keras.applications", "use channels=3", channels=channels)
            )
        return trunks.Pretrained(config.trunk, config.trunk_weights, input_scale=255.0)
    if config.trunk_weights is not None:
        expected = "a network of keras.applications as the trunk for trunk_weights"
        given = {"trunk": config.trunk, "trunk_weights": config.trunk_weights}
        raise ValueError(message(expected, "name the network that the weights are of, or leave them out", **given))
    stem = "large" if min(height, width) > 96 else "small"
    if config.trunk == "small":
        halvings = max(1, min(5, min(height, width).bit_length() - 3))
        return trunks.Conv(_SMALL[:halvings], batch_norm=True, output="average", dropout=0.2)
    if config.trunk == "medium":
        return trunks.Residual((32, 64, 128), 1, stem)
    return trunks.Residual((64, 128, 256, 512), 2, stem)


_SMALL = (32, 64, 64, 128, 128)


def augmentations(named: list[Any]) -> data.augment.Chain | None:
    """Augmentations in order from their names, or `{name: settings}`."""
    known = {name.lower(): name for name in data.augment.__all__ if name not in _NO_STEPS}
    made = []
    for one in named:
        (name, settings), *more = one.items() if isinstance(one, Mapping) else [(one, {})]
        plain = str(name).lower().replace("_", "").replace("-", "")
        if plain not in known or more:
            raise ValueError(message(f"an augmentation among {sorted(known)}", "choose one", augment=one))
        try:
            made.append(getattr(data.augment, known[plain])(**(settings or {})))
        except TypeError as error:
            raise ValueError(
                message(f"settings of {name}", "correct them", settings=settings, error=str(error))
            ) from error
    return data.augment.Chain(made) if made else None


_NO_STEPS = ("Augmentation", "Chain", "Geometric", "KerasLayer", "Photometric")


def data_section(source: data.Source) -> str:
    """What the source holds, as Markdown."""
    about = source.about
    lines = [f"{about['rows']:,} rows in {about['file']}, {about['used']:,} used."]
    lines += [f"- {count:,} left out: {reason}" for reason, count in about["left_out_because"].items()]
    for task, values in about["unseen"].items():
        listed = ", ".join(f"{value} ({count})" for value, count in values.items())
        lines.append(f"- labels of {task} that training has not seen count as missing: {listed}")
    if about["files_in_several_splits"]:
        lines.append(
            f"- {about['files_in_several_splits']:,} images are named in several splits: --group keeps them apart"
        )
    splits = list(source.sizes)
    lines += ["", table_row(["task", "kind", "labels", *(f"{split} ({source.sizes[split]:,})" for split in splits)])]
    lines.append("|---" * (3 + len(splits)) + "|")
    for task, kind in source.kinds.items():
        described = kind.describe()
        labels = f"{len(described['labels'])}" if "labels" in described else "{:g} to {:g}".format(*described["range"])
        counts = [f"{source.label_counts(split)[task]:,}" for split in splits]
        lines.append(table_row([task, kind.kind, f"{labels} {described.get('unit', '')}".strip(), *counts]))
    return "\n".join(lines)


def lost_section(source: data.Source) -> str:
    """What was left out while training, as Markdown; empty where nothing was."""
    lines = [f"- {count:,} of {file} left out: it broke while training" for file, count in source.lost.items()]
    return "\n".join(["\n", *lines]) if lines else ""


def _against_constant(found: Mapping[str, tuple[str, float, str]], constant: Mapping[str, float], split: str) -> str:
    parts = [
        f"{task} {constant[task]:.4g} (the model: {value:.4g})"
        for task, (_, value, _) in found.items()
        if task in constant
    ]
    if not parts:
        return f"Measured on the {split} split."
    return f"Measured on the {split} split. Always giving the most common class, or the median: {', '.join(parts)}."


def _plain(name: str) -> str:
    """A name that Keras takes."""
    return "".join(sign if sign.isalnum() and sign.isascii() else "_" for sign in name) or "model"
