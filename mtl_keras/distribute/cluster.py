"""Which worker of how many this process is, read from the environment variable TF_CONFIG."""

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from mtl_keras.errors import message

VARIABLE = "TF_CONFIG"


@dataclass(frozen=True)
class Cluster:
    """The workers that train one model together, and this one's place among them.

    Attributes:
        addresses: `host:port` of every worker; the first one is the chief.
        index: This worker's place, from 0.

    Example:
        >>> Cluster(("10.0.0.1:2222", "10.0.0.2:2222"), 1).to_tf_config()
        '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 1}}'
    """

    addresses: tuple[str, ...]
    index: int

    def to_tf_config(self) -> str:
        """The value of TF_CONFIG that says the same."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})


def cluster(environ: Mapping[str, str] | None = None) -> Cluster | None:
    """The workers named by TF_CONFIG, or None where it is not set.

    Args:
        environ: Where to look, default `os.environ`.

    Raises:
        ValueError: TF_CONFIG is not as TensorFlow defines it, or names tasks other than `chief` and `worker`.

    Example:
        >>> cluster({}) is None
        True
    """
    text = (os.environ if environ is None else environ).get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        config = json.loads(text)
        roles, task = dict(config["cluster"]), config["task"]
        kind, index = task["type"], int(task["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(message(_FORM, _HOW, TF_CONFIG=text, error=str(error))) from None
    foreign = [role for role in roles if role not in ("chief", "worker")]
    if foreign or kind not in roles:
        raise ValueError(
            message(
                "only the tasks 'chief' and 'worker' in TF_CONFIG (parameter servers and evaluators have no fit)",
                _HOW,
                cluster=list(roles),
                task=kind,
            )
        )
    # TensorFlow counts the chief among the workers, as the first of them
    chief = list(roles.get("chief", ()))
    addresses = (*chief, *roles.get("worker", ()))
    place = index + (len(chief) if kind == "worker" else 0)
    if not 0 <= place < len(addresses):
        raise ValueError(message(f"a task index below {len(roles[kind])} in TF_CONFIG", _HOW, type=kind, index=index))
    return Cluster(tuple(addresses), place)


_FORM = "TF_CONFIG as JSON with 'cluster' and 'task'"
_HOW = "set it with python -m mtl_keras.distribute.launch, or as docs/distribution.md shows"


def is_chief() -> bool:
    """Whether this process is the one that writes files and prints: the first worker, or the only process.

    Every worker runs the same program and takes part in every step, validation and evaluation; checkpoints, logs,
    exports and reports are the chief's business.

    Example:
        >>> is_chief()
        True
    """
    found = cluster()
    return found is None or found.index == 0


def own_folder(path: str | PathLike[str]) -> Path:
    """`path` for the chief; for every other worker a temporary folder, removed when its process ends.

    For code that writes on every worker and cannot be told not to: the files of the others do not collide with the
    chief's and leave nothing behind.

    Example:
        >>> own_folder("runs/first").as_posix()
        'runs/first'
    """
    if is_chief():
        return Path(path)
    folder = tempfile.mkdtemp(prefix="mtl_keras-worker-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def number_of_workers() -> int:
    """How many processes train together."""
    found = cluster()
    return 1 if found is None else len(found.addresses)


def environment(found: Cluster, base: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The environment of one worker's process."""
    return {**(os.environ if base is None else base), VARIABLE: found.to_tf_config()}
