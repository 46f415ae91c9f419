"""The command line that all pipelines share."""

import argparse
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mtl_keras as mtl
from mtl_keras import distribute


class Parser(argparse.ArgumentParser):
    """Says what the default of an option is, where it has one."""

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        if str(settings.get("default")) not in ("None", "False", argparse.SUPPRESS):
            settings["help"] += " (default: %(default)s)"
        return super().add_argument(*names, **settings)


def parser(name: str, description: str, trunks: Iterable[str], epochs: int, batch_size: int) -> argparse.ArgumentParser:
    """The options of every pipeline; a pipeline adds those on its own data.

    Args:
        name: The pipeline's folder.
        description: What it does.
        trunks: Names of its trunks, the default first.
        epochs, batch_size: Their defaults.
    """
    made = Parser(prog=f"python -m pipelines.{name}", description=description)
    add, trunks = made.add_argument, list(trunks)
    methods, scopes = mtl.weightings.names(), ["parameters", "features", "last_layer"]
    add("--epochs", type=positive, default=epochs, help="passes over the training examples")
    add("--batch-size", type=positive, default=batch_size, help="examples per step")
    add("--learning-rate", type=rate, default=1e-3, help="of Adam, at first")
    add("--weighting", default="equal", choices=methods, metavar="NAME", help="see mtl-keras list weightings")
    add("--scope", default="features", choices=scopes, help="what gradient methods take gradients of")
    add("--trunk", default=trunks[0], choices=trunks, help="layers that all tasks share")
    add("--seed", type=seed, default=0, help="of everything that is random")
    add("--output", type=Path, default=Path("savedmodels") / name, help="folder of the versions")
    add("--runs", type=Path, default=Path("runs"), help="folder of the TensorBoard logs")
    add("--resume", type=Path, metavar="RUN", help="folder of this run, which goes on there when started again")
    add("--strategy", default="auto", choices=distribute.NAMES, help="devices to train on")
    precisions = ["float32", "mixed_float16", "mixed_bfloat16"]
    add("--precision", default="float32", choices=precisions, help="what layers compute in")
    return made


def place_of(options: argparse.Namespace, name: str) -> Path:
    """Where a run puts its logs and checkpoints: the folder that it was given, or one with the time of day."""
    return options.resume or options.runs / time.strftime(f"{name}-%Y%m%d-%H%M%S")


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {text}")
    return int(text)


def seed(text: str) -> int:
    """A whole number that random generators can start from."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"a whole number from 0 to {2**32 - 1}, not {text}")
    return int(text)


def rate(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0, not {text}")
    return value
