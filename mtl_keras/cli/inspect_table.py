"""`mtl-keras inspect` of a CSV file: columns, labels, images, and a sheet of samples."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtl_keras.cli.tables import print_table
from mtl_keras.errors import message

SAMPLES = 24
_SHOWN = 5  # rows with problems, labels of a column
_LOOKS = {
    "class": "classes", "multilabel": "several labels", "number": "numbers", "image": "paths of images",
    "text": "texts, mostly different", "mixed": "numbers and texts", "empty": "nothing",
}  # fmt: skip


def inspect_table(
    path: Path,
    root: Path | None,
    image: str | None,
    sheet: Path | None,
    missing: Sequence[str],
    delimiter: str,
    encoding: str,
    decode: bool,
) -> None:
    """Print what is in a CSV file; draw samples where it names images."""
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise ValueError(message("a .png file for the samples", "give it another name", sheet=str(sheet)))
    from mtl_keras.quiet import import_tensorflow

    import_tensorflow()
    from mtl_keras.cli.watching import Watching
    from mtl_keras.data.overview import look_at_images, overview
    from mtl_keras.data.table import read_table

    table, problems = read_table(path, None, delimiter, encoding)
    print(f"{path}: {table.read:,} rows, {len(table.columns)} columns")
    columns = overview(table, missing)
    print_table(["column", "looks like", "labels", "missing", "imbalance"], [_row(column) for column in columns])
    _print_problems("that cannot be read", problems)
    image = image or next((column.name for column in columns if column.look.kind == "image"), None)
    if image is None:
        print("No column of image paths; --image names it.")
        return
    with Watching() as progress:
        images = look_at_images(table, image, root or path.parent, decode, progress)
    print(f"{image}: {images.files:,} different files")
    _print_problems("whose image cannot be used", images.wrong)
    if images.smallest is not None and images.largest is not None:
        print(f"{image}: from {_size(images.smallest)} to {_size(images.largest)} pixels")
        sheet = sheet or Path(f"{path.stem}_samples.png")
        shown = [column.name for column in columns if column.look.kind in ("class", "multilabel", "number")]
        _draw(sheet, table, image, root or path.parent, images.good, shown, missing)
        print(f"Samples with their labels: {sheet}")
        reading = {"--delimiter": (delimiter, ","), "--encoding": (encoding, "utf-8")}
        options = [part for name, (value, plain) in reading.items() if value != plain for part in (name, value)]
        options += [part for cell in missing for part in ("--missing", cell)]
        options += ["--skip-bad"] if len(problems) or len(images.wrong) else []
        _print_command(path, root, image, columns, options)


def _row(column: Any) -> list[str]:
    kind, count = column.look.kind, len(column.labels)
    looks = _LOOKS[kind]
    if kind == "class":
        looks = f"{count} {looks}" if count > 1 else "one class only"
    labelled = column.rows - column.missing
    labels = ", ".join(f"{text[:30]} {often / labelled:.0%}" for text, often in column.labels.most_common(_SHOWN))
    if kind == "number":
        looks = looks if column.alike else "numbers, no two alike"
        labels = f"{column.smallest:g} to {column.largest:g}, mean {column.mean:.4g}"
    elif kind == "mixed":
        labels = f"{column.look.odd[:30]!r} in row {column.odd_row}"
    elif kind in ("text", "image"):
        labels = f"{count:,} different, e.g. {next(iter(column.labels))[:40]}"
    elif count > _SHOWN:
        labels += f" and {count - _SHOWN} more"
    imbalance = "-" if column.imbalance is None else f"{column.imbalance:.1f}x"
    return [column.name, looks, labels, f"{column.missing / column.rows:.0%}", imbalance]


def _print_problems(what: str, problems: Any) -> None:
    if not len(problems):
        return
    print(f"{len(problems):,} {'row' if len(problems) == 1 else 'rows'} {what}:")
    for problem in problems.first(_SHOWN):
        print(f"  row {problem.row}: expected {problem.expected}; {problem.value}")
    if len(problems) > _SHOWN:
        print(f"  and {len(problems) - _SHOWN:,} more")


def _draw(
    sheet: Path, table: Any, image: str, root: Path, good: Any, shown: Sequence[str], missing: Sequence[str]
) -> None:
    """Draw samples from the whole file, the same ones every time."""
    import numpy as np

    from mtl_keras.analysis import Caption, draw_images
    from mtl_keras.data.looks import is_missing
    from mtl_keras.images import ImageFormat

    chosen = good[np.unique(np.linspace(0, len(good) - 1, SAMPLES).astype(int))].tolist()
    paths = table.column(image)
    pictures = [ImageFormat(160, 160, "pad").read(root / paths.text(index).strip()) for index in chosen]
    captions = [
        [
            Caption(f"{name}: {'-' if is_missing(text, missing) else text.strip()}")
            for name in shown
            for text in [table.column(name).text(index)]
        ]
        for index in chosen
    ]
    draw_images(sheet, pictures, captions, columns=6)


def _print_command(path: Path, root: Path | None, image: str, columns: Sequence[Any], options: Sequence[str]) -> None:
    """The command that trains on all of it."""
    from mtl_keras.tasks import NAME

    words = ["mtl-keras", "train", "--csv", str(path), "--image", image]
    if root is not None:
        words += ["--root", str(root)]
    words += options
    split = next((column.name for column in columns if _names_splits(column)), None)
    if split is not None:
        words += ["--split-column", split]
    for column in columns:
        if column.name != split and _can_be_learnt(column):
            plain = "".join(sign if sign.isalnum() and sign.isascii() else "_" for sign in column.name)
            words += ["--task", column.name if NAME.match(column.name) else f"{plain}={column.name}"]
    if "--task" in words:
        print(f"Train on it with: {shlex.join([*words, '--out', f'savedmodels/{path.stem}'])}")


def _can_be_learnt(column: Any) -> bool:
    kind = column.look.kind
    return kind == "multilabel" or (kind == "number" and column.alike) or (kind == "class" and len(column.labels) > 1)


def _names_splits(column: Any) -> bool:
    """Whether every row says train, val or test."""
    from mtl_keras.data.splits import NAMES, split_names

    found = split_names(list(column.labels))
    return not column.missing and set(found.tolist()) >= {NAMES.index("train")} and bool((found >= 0).all())


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
