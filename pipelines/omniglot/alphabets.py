"""The drawings as one source per alphabet, and all of them mixed."""

import zipfile
import zlib
from dataclasses import dataclass, fields
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

import mtl_keras as mtl
from mtl_keras.errors import message

EMBEDDED = Path(__file__).parent / "data" / "omniglot8_35.npz"
SIDE = 35
DRAWERS = 20
# by who drew: no hand that trains a task tests it
SPLIT_OF_DRAWER = {"train": range(14), "val": range(14, 16), "test": range(16, DRAWERS)}


@dataclass(frozen=True)
class Drawings:
    """N drawings of one character each.

    Attributes:
        image: uint8 [N, 35, 35], ink 255 on 0.
        alphabet: Index into `alphabet_names`, [N].
        character: Index within the alphabet, [N].
        drawer: Which of the alphabet's 20 drawers drew it, 0 to 19, [N].
        alphabet_names: Names of the alphabets, [A].
        n_characters: How many characters each has, [A].
    """

    image: np.ndarray
    alphabet: np.ndarray
    character: np.ndarray
    drawer: np.ndarray
    alphabet_names: np.ndarray
    n_characters: np.ndarray


def read(path: str | PathLike[str] = EMBEDDED) -> Drawings:
    """The drawings in an .npz file, by default those of this repository.

    Raises:
        ValueError: The file cannot be read, lacks an array, or its arrays do not go together.
    """
    names = [one.name for one in fields(Drawings)]
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            found = Drawings(**{name: file[name] for name in names})
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        expected = f"an .npz file with {', '.join(names)}"
        raise ValueError(message(expected, "give the right file", path=fspath(path), error=str(error)[:200])) from error
    lengths = {name: len(getattr(found, name)) for name in names[:4]}
    shape = found.image.shape
    if len(set(lengths.values())) > 1 or shape[1:] != (SIDE, SIDE):
        expected = f"as many labels as images of {SIDE}x{SIDE} pixels"
        raise ValueError(message(expected, "give a whole file", path=fspath(path), lengths=lengths, image=shape))
    return found


def sources(drawings: Drawings, seed: int = 0) -> dict[str, mtl.data.Source]:
    """`{task: source}`, one per alphabet: its drawings, divided by who drew them; labels are numbers from 1."""
    splits = np.empty(DRAWERS, object)
    for name, drawers in SPLIT_OF_DRAWER.items():
        splits[list(drawers)] = name
    made = {}
    for index, name in enumerate(drawings.alphabet_names):
        task = task_name(str(name))
        rows = drawings.alphabet == index
        made[task] = mtl.data.from_arrays(
            drawings.image[rows, :, :, None],
            {task: drawings.character[rows].astype(np.int32)},
            names={task: [str(number + 1) for number in range(int(drawings.n_characters[index]))]},
            splits=mtl.data.Splits(column="split"),
            columns={"split": splits[drawings.drawer[rows]]},
            seed=seed,
        )
    return made


def mixed(by: Any = "size", path: str | PathLike[str] = EMBEDDED, seed: int = 0) -> mtl.data.MixedSource:
    """All alphabets as one source, see `mtl_keras.data.mix`.

    Args:
        by: How an epoch is divided among the alphabets, default as they are large.
        path: The .npz file, default that of this repository.
        seed: Seed of the order, default 0.
    """
    return mtl.data.mix(sources(read(path), seed), by=by, seed=seed)


def task_name(alphabet: str) -> str:
    """The name of an alphabet as a task's.

    Example:
        >>> task_name("Japanese_(katakana)")
        'japanese_katakana'
    """
    return "".join(letter for letter in alphabet.lower() if letter.isalnum() or letter == "_")
