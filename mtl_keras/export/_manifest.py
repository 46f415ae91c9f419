"""manifest.json: what a folder of artefacts holds, and what its outputs mean."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mtl_keras.errors import message

SCHEMA = 1
NAME = "manifest.json"


@dataclass
class Manifest:
    """The contents of a version folder.

    Attributes:
        model: The model's name.
        parameters: Number of parameters.
        inputs: `{name: {"shape": [...], "dtype": ...}}`, without the batch axis.
        tasks: `{task: {"kind", "labels", "units", "thresholds", "shape", ...}}` in output order.
        preprocessing: `{"before": {...}, "in_graph": {...}}`: what a caller does to pixels, and what the graph does.
        signatures: `{signature: [tasks]}`.
        files: `{name: {"bytes": n, "sha256": ...}}`, paths within the folder.
        parity: `{file: {task: largest error against the Keras model}}`.
        metrics: `{metric: value}` on test data.
        versions: Versions of the libraries that made the files.
        commit: Git commit of the working folder, or None.
        created: When, in UTC.
        schema: Version of this format.
    """

    model: str
    parameters: int
    inputs: dict[str, dict[str, Any]]
    tasks: dict[str, dict[str, Any]]
    preprocessing: dict[str, Any] = field(default_factory=dict)
    signatures: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    parity: dict[str, dict[str, float]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    created: str = ""
    schema: int = SCHEMA

    @classmethod
    def of(cls, model: Any, before: Mapping[str, Any] | None = None) -> "Manifest":
        """Describe a model; files, parity and metrics come later.

        Args:
            model: A functional model with dict outputs; a MultiTaskModel's heads describe their tasks.
            before: What a caller does to the inputs, e.g. `{"scale": 1 / 255}` for uint8 pixels.
        """
        described = {task.name: task.head.describe() for task in getattr(model, "tasks", []) if task.head}
        tasks = {
            name: {
                "kind": "values",
                "shape": [int(n) if n else -1 for n in tensor.shape[1:]],
                **described.get(name, {}),
            }
            for name, tensor in model.output.items()
        }
        return cls(
            model=model.name,
            parameters=int(sum(layer.count_params() for layer in model.layers)),
            inputs={
                tensor.name: {"shape": [int(n) if n else -1 for n in tensor.shape[1:]], "dtype": str(tensor.dtype)}
                for tensor in model.inputs
            },
            tasks=tasks,
            preprocessing={"before": dict(before or {}), "in_graph": getattr(model, "preprocessing", {})},
            signatures={"all_tasks": list(tasks), **{f"task_{name}": [name] for name in tasks}},
            versions=_versions("mtl_keras", "keras", "tensorflow", "ai-edge-litert", "numpy"),
            commit=_commit(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def add_file(self, path: Path, name: str | None = None) -> None:
        """Record a file's or folder's size and checksum."""
        parts = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part.read_bytes())
        size = sum(part.stat().st_size for part in parts)
        self.files[name or path.name] = {"bytes": size, "sha256": digest.hexdigest()}

    def write(self, folder: str | PathLike[str]) -> Path:
        """Write `manifest.json` into a folder."""
        path = Path(folder) / NAME
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: str | PathLike[str]) -> "Manifest":
        """Read a manifest, or the one in a folder.

        Raises:
            ValueError: It is missing, damaged, of another schema, or names files outside its folder.
        """
        path = Path(path) / NAME if Path(path).is_dir() else Path(path)
        where = fspath(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(
                message("a manifest.json that can be read", "export the model again", path=where, error=str(error))
            ) from error
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema != SCHEMA:
            raise ValueError(message(f"a manifest of schema {SCHEMA}", "export again", path=where, schema=schema))
        wrong = _wrong_part(content)
        if wrong is not None:
            raise ValueError(message("a manifest with all its parts", "export again", path=where, part=wrong))
        folder = path.parent.resolve()
        for name in content["files"]:
            if not (folder / name).resolve().is_relative_to(folder):
                raise ValueError(message("files inside the manifest's folder", "do not use it", path=where, file=name))
        return cls(**content)


def _wrong_part(content: dict[str, Any]) -> str | None:
    """The first field that is missing, unknown or of the wrong type."""
    kinds: dict[str, Any] = dict.fromkeys(("inputs", "tasks", "preprocessing", "signatures", "files"), dict)
    kinds |= {"parity": dict, "metrics": dict, "versions": dict, "model": str, "parameters": int, "created": str}
    kinds |= {"commit": (str, type(None)), "schema": int}
    for name, kind in kinds.items():
        if not isinstance(content.get(name, ...), kind):
            return name
    unknown = [name for name in content if name not in kinds]
    wrong = [name for name, task in content["tasks"].items() if not isinstance(task, dict)]
    return next(iter([*unknown, *wrong]), None)


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _commit() -> str | None:
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
