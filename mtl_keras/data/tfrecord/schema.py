"""`dataset.json`: what lies in the TFRecord files beside it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mtl_keras.data.kinds import KINDS, LabelKind
from mtl_keras.data.tfrecord.features import WAYS, Writable, from_description
from mtl_keras.errors import message

NAME = "dataset.json"
VERSION = 1


@dataclass(frozen=True)
class Schema:
    """What `write_tfrecord` wrote.

    Attributes:
        inputs: `{input: how it is stored}`.
        kinds: `{task: kind}`, labels as the kind has them.
        files: `{split: {file name: number of records}}`, in order.
        before: What is done to the inputs before the model sees them, see `Source`.
    """

    inputs: dict[str, Writable]
    kinds: dict[str, LabelKind]
    files: dict[str, dict[str, int]]
    before: dict[str, dict[str, Any]]

    def write(self, folder: str | PathLike[str]) -> None:
        """Write `dataset.json` into a folder."""
        content = {
            "schema": VERSION,
            "inputs": {name: feature.describe() for name, feature in self.inputs.items()},
            "tasks": {task: {"kind": kind.kind, **asdict(kind)} for task, kind in self.kinds.items()},
            "files": self.files,
            "before": self.before,
        }
        Path(folder, NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: str | PathLike[str]) -> "Schema":
        """Read `dataset.json` from a folder.

        Raises:
            ValueError: It is not there, or not what `write` writes.
        """
        path = Path(folder, NAME)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                message(
                    "dataset.json, as write_tfrecord writes it",
                    "pass features and tasks for files that have none",
                    file=fspath(path),
                    error=str(error),
                )
            ) from error
        try:
            if content["schema"] != VERSION:
                raise ValueError(f"schema {content['schema']!r}, not {VERSION}")
            inputs = {name: from_description(described) for name, described in content["inputs"].items()}
            kinds = {task: _kind(described) for task, described in content["tasks"].items()}
            files = {
                split: {str(name): int(count) for name, count in shards.items()}
                for split, shards in content["files"].items()
            }
            return cls(inputs, kinds, files, dict(content["before"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                message(
                    f"dataset.json of schema {VERSION}, with ways among {list(WAYS)} and kinds among {list(KINDS)}",
                    "write the files again",
                    file=fspath(path),
                    error=f"{type(error).__name__}: {error}",
                )
            ) from error


def _kind(described: Mapping[str, Any]) -> LabelKind:
    settings = {name: tuple(value) if name == "names" else value for name, value in described.items() if name != "kind"}
    return KINDS[described["kind"]](**settings)
