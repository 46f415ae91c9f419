"""The configuration of a training run: one object for options, files and what is saved beside the run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mtl_keras.data.looks import as_number
from mtl_keras.errors import message

TRUNKS = ("small", "medium", "large")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run. Each attribute is an option of `mtl-keras train` and a key of its YAML file.

    Attributes:
        csv: CSV file.
        image: Column with the paths of the images.
        tasks: `{task: {kind, columns, separator, names, missing, low, high, unit}}`, see `data.Column`; in a file also
            `{task: kind}` or a list of `task`, `column:kind`, `task=column:kind`.
        out: Folder of the versions.
        root: Folder of the images, default that of the CSV file.
        size: Side of the images in pixels, or [height, width], default 128.
        resize: `fit` (default), `fill` or `pad`.
        channels: 3 (default) or 1.
        val, test: Shares of the rows, default 0.1 each.
        split_column: Column with `train`, `val`, `test`, instead of the shares.
        group: Column whose equal values stay in one split.
        stratify: Task whose class frequencies every split keeps.
        trunk: `small` (default), `medium`, `large`, or the name of a network of `keras.applications`.
        trunk_weights: Weights file for a network of `keras.applications`, default new weights.
        weighting: Method that balances the tasks, default `equal`; see `mtl-keras list weightings`.
        scope: Where gradient methods take gradients: `features` (default), `parameters`, `last_layer`.
        epochs: At most, default 20.
        patience: Epochs without a better overall score before training stops, default 5; the best weights are kept.
        batch_size: Default 64.
        learning_rate: Of Adam, default 0.001.
        balanced: Whether rare classes weigh more, default false.
        augment: Augmentations by name, with `{name: {setting: value}}` for others than the default settings.
        missing: Cells that mean "no label" in the columns of all tasks, beside empty ones and NaN, default none.
        cache: Where decoded images are kept: `auto` (default: in memory if they are small), `memory`, `none`, or a
            folder.
        check: `pixels` (default), `headers` or `paths`: what of the images is looked at before training.
        skip_bad: Leave out rows that cannot be used, and list them beside the run, default false.
        delimiter, encoding: Of the CSV file, default a comma and utf-8.
        runs: Folder of the TensorBoard logs, default `runs`.
        resume: Folder of this run: killed and started again with the same options, it goes on from there and ends bit
            for bit as one that was never killed. Default none: a new folder in `runs`, and no checkpoints.
        seed: Of the splits, the weights, the order and augmentation, default 0.
        strategy: `auto` (default), `one`, `mirrored` or `multi_worker`, see `docs/distribution.md`.
        precision: `float32` (default), `mixed_float16` or `mixed_bfloat16`.
    """

    csv: str
    image: str
    tasks: Mapping[str, Any]
    out: str
    root: str | None = None
    size: int | list[int] = 128
    resize: str = "fit"
    channels: int = 3
    val: float = 0.1
    test: float = 0.1
    split_column: str | None = None
    group: str | None = None
    stratify: str | None = None
    trunk: str = "small"
    trunk_weights: str | None = None
    weighting: str = "equal"
    scope: str = "features"
    epochs: int = 20
    patience: int = 5
    batch_size: int = 64
    learning_rate: float = 1e-3
    balanced: bool = False
    augment: list[Any] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    cache: str = "auto"
    check: str = "pixels"
    skip_bad: bool = False
    delimiter: str = ","
    encoding: str = "utf-8"
    runs: str = "runs"
    resume: str | None = None
    seed: int = 0
    strategy: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        for one in fields(self):
            object.__setattr__(self, one.name, _typed(one.name, one.type, getattr(self, one.name)))
        for name, lowest in (("epochs", 1), ("patience", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise ValueError(
                    message(f"a whole number of at least {lowest} for {name}", "correct it", **{name: value})
                )
        if self.seed >= 2**31:
            raise ValueError(message("a seed below 2147483648", "choose another", seed=self.seed))
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(message("a learning rate above 0", "correct it", learning_rate=self.learning_rate))
        if not self.tasks:
            raise ValueError(message("at least one task", "pass --task COLUMN, once for each", tasks=[]))

    @classmethod
    def of(cls, file: Path | None, options: Mapping[str, Any]) -> "TrainConfig":
        """The configuration in a YAML file, if there is one, with the options that were given on top.

        Raises:
            ValueError: The file cannot be read, has unknown keys, or something that every run needs is missing.
        """
        values = {} if file is None else read_yaml(file)
        values |= {name: value for name, value in options.items() if value is not None}
        known = [one.name for one in fields(cls)]
        for name in values:
            if name not in known:
                raise ValueError(message(f"keys among {known}", "correct the key", file=str(file), key=name))
        for name in ("csv", "image", "tasks", "out"):
            if values.get(name) in (None, "", [], {}):
                option = "--task" if name == "tasks" else f"--{name}"
                raise ValueError(
                    message(f"a value for {name!r}", f"pass {option}, or set it in the file", **{name: None})
                )
        return cls(**{**values, "tasks": _tasks(values["tasks"])})

    def with_kinds(self, kinds: Mapping[str, str]) -> "TrainConfig":
        """The same with the kinds of the tasks as they turned out."""
        return replace(self, tasks={task: {**of, "kind": kinds[task]} for task, of in self.tasks.items()})

    def write(self, path: Path) -> None:
        """Write it as a YAML file that `--config` reads."""
        import yaml

        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(asdict(self), sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_yaml(file: Path) -> dict[str, Any]:
    """The keys and values in a YAML file.

    Raises:
        ValueError: It cannot be read, or holds something else.
    """
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(message("a YAML file", "correct it", file=str(file), error=str(error)[:300])) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError(message("a YAML file of keys and values", "see docs/data.md", file=str(file)))
    return content


_EXPECTED = {bool: "true or false", float: "a number", str: "a text", str | None: "a text"}


def _typed(name: str, kind: Any, value: Any) -> Any:
    """The value, if it is of its kind; a text alone may stand for a list of one."""
    if kind is float:
        number = as_number(value) if isinstance(value, str) else value  # YAML takes 1e-3 for a text
        right = isinstance(number, (int, float)) and not isinstance(number, bool)
        value = number if right else value
    elif kind in (list[str], list[Any]):
        return value if isinstance(value, list) else [value]
    else:
        right = kind not in _EXPECTED or isinstance(value, kind)
    if not right:
        raise ValueError(message(f"{_EXPECTED[kind]} for {name}", "correct it", **{name: value}))
    return value


def _tasks(given: Any) -> dict[str, dict[str, Any]]:
    """`{task: settings of its Column}`, without those that are at their default."""
    from mtl_keras.data.columns import Column, stated_columns

    if isinstance(given, Mapping):
        given = {task: _column(task, value) if isinstance(value, Mapping) else value for task, value in given.items()}
    plain = asdict(Column())
    return {
        task: {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(column).items()
            if value != plain[name] and not (name == "columns" and value == (task,))
        }
        for task, column in stated_columns(given).items()
    }


def _column(task: str, settings: Mapping[str, Any]) -> Any:
    from mtl_keras.data.columns import Column
    from mtl_keras.data.kinds import kind_named

    known = [one.name for one in fields(Column)]
    for name in settings:
        if name not in known:
            raise ValueError(message(f"settings of task {task!r} among {known}", "correct the key", key=name))
    if settings.get("kind") is not None:
        kind_named(settings["kind"], task)
    return Column(**settings)
