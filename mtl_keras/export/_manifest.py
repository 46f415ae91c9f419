"""manifest.json: what a folder of artefacts holds, and what its outputs mean."""

import hashlib
import json
import math
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import mtl_keras
from mtl_keras.errors import message
from mtl_keras.export._image_inputs import complete_format
from mtl_keras.export._manifest_checks import SCHEMA, is_before, wrong_part

NAME = "manifest.json"


@dataclass
class Manifest:
    """The contents of a version folder.

    Attributes:
        model: The model's name.
        parameters: Number of parameters.
        inputs: `{name: {"shape": [...], "dtype": ...}}`, without the batch axis; -1 for a free side.
        tasks: `{task: {"kind", "shape", ...}}` in output order, with `labels`, `thresholds` or `units` as the kind has
            them; kind `"values"` where nothing is known.
        preprocessing: `{"before": {input: {...}}, "in_graph": {...}}`: what a caller does to image files and to
            whole-number pixels, see `of`, and what the graph does.
        signatures: `{signature: [tasks]}`.
        files: `{path in the folder: {"bytes": n, "sha256": ...}}`.
        parity: `{artefact: {task: largest error against the Keras model}}`.
        metrics: `{metric: value}` on test data; None for what could not be measured.
        versions: Versions of the libraries that made the files.
        commit: Git commit of the working folder, ending in `-dirty` where files had changed since, or None.
        created: When, in UTC.
        run: The training run that can be taken up and how many epochs it had, `"<id>:<epochs>"`, or None.
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
    metrics: dict[str, float | None] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    created: str = ""
    run: str | None = None
    schema: int = SCHEMA

    @classmethod
    def of(
        cls, model: Any, before: Mapping[str, Any] | None = None, metrics: Mapping[str, float] | None = None
    ) -> "Manifest":
        """Describe a model; files and parity come later.

        Args:
            model: A functional model with dict outputs; a MultiTaskModel's heads describe their tasks.
            before: What a caller does to the inputs, or `{input name: {...}}` where there are several. `"image"`: what
                image files become, `{"resize": "fit", "fill" or "pad", ...}`, see `mtl_keras.images.ImageFormat`; size
                and channels are the input's own. `"scale"` and `"offset"`: whole-number pixels become
                `x * scale + offset`. `"pixels"`: a remark for people.
            metrics: Metrics on test data.

        Raises:
            ValueError: The model has no outputs by name, or `before` says something that `Predictor` would not do.
        """
        from mtl_keras.graph import named_outputs  # which imports Keras

        heads = {task.name: task.head for task in getattr(model, "tasks", []) if getattr(task, "head", None)}
        tasks = {
            name: {"kind": "values", "shape": _sides(tensor)} | (heads[name].describe() if name in heads else {})
            for name, tensor in named_outputs(model).items()
        }
        inputs = {tensor.name: {"shape": _sides(tensor), "dtype": str(tensor.dtype)} for tensor in model.inputs}
        in_graph = dict(getattr(model, "preprocessing", None) or {})
        return cls(
            model=model.name,
            parameters=int(sum(layer.count_params() for layer in model.layers)),
            inputs=inputs,
            tasks=tasks,
            preprocessing={"before": _by_input(before, inputs), "in_graph": in_graph},
            signatures={"all_tasks": list(tasks), **{f"task_{name}": [name] for name in tasks}},
            metrics={name: _finite(value) for name, value in (metrics or {}).items()},
            versions={"mtl_keras": mtl_keras.__version__} | _versions("keras", "tensorflow", "ai-edge-litert", "numpy"),
            commit=_commit(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def add_files(self, folder: Path) -> None:
        """Record size and checksum of every file in a folder and below."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path != folder / NAME:
                name = path.relative_to(folder).as_posix()
                self.files[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}

    def check_files(self, folder: str | PathLike[str], names: Iterable[str] | None = None) -> None:
        """Compare the recorded files of a folder with what is there.

        Args:
            folder: The version folder.
            names: Which of the recorded files, default all.

        Raises:
            ValueError: A file is missing or has changed.
        """
        for name in self.files if names is None else names:
            path, recorded = Path(folder) / name, self.files[name]
            if not path.is_file():
                raise ValueError(message("every file that the manifest lists", "export again", missing=fspath(path)))
            if path.stat().st_size != recorded["bytes"] or _sha256(path) != recorded["sha256"]:
                raise ValueError(
                    message("a file as it was exported (same checksum)", "export again", changed=fspath(path))
                )

    def write(self, folder: str | PathLike[str]) -> Path:
        """Write `manifest.json` into a folder."""
        path = Path(folder) / NAME
        path.write_text(json.dumps(asdict(self), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: str | PathLike[str]) -> "Manifest":
        """Read a manifest, or the one in a folder.

        Raises:
            ValueError: It is missing, damaged, of another schema, or names files outside its folder.
        """
        path = Path(path) / NAME if Path(path).is_dir() else Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise _unreadable(fspath(path), error) from error
        manifest = cls.parse(text, fspath(path))
        folder = path.parent.resolve()
        for name in manifest.files:
            if not _is_inside(folder, name):
                raise ValueError(
                    message("files inside the manifest's folder", "not use this folder", path=fspath(path), file=name)
                )
        return manifest

    @classmethod
    def parse(cls, text: str, where: str) -> "Manifest":
        """A manifest from its JSON; `where` is for messages.

        Raises:
            ValueError: It is damaged or of another schema.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _unreadable(where, error) from error
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema != SCHEMA:
            raise ValueError(message(f"a manifest of schema {SCHEMA}", "export again", path=where, schema=schema))
        wrong = wrong_part(content)
        if wrong is not None:
            raise ValueError(message("a manifest with all its parts", "export again", path=where, wrong=wrong))
        return cls(**content)


def _unreadable(where: str, error: Exception) -> ValueError:
    return ValueError(
        message("a manifest.json that can be read", "export the model again", path=where, error=str(error))
    )


def _sides(tensor: Any) -> list[int]:
    return [-1 if side is None else int(side) for side in tensor.shape[1:]]


def _by_input(before: Mapping[str, Any] | None, inputs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    before = dict(before or {})
    # an input may be called like a step
    if before and len(inputs) == 1 and (not set(before) <= set(inputs) or is_before(before)):
        before = {next(iter(inputs)): before}
    if not set(before) <= set(inputs):
        raise ValueError(
            message(f"preprocessing by input name {list(inputs)}", "pass {input name: {...}}", before=before)
        )
    checked = {}
    for name, steps in before.items():
        if not is_before(steps):
            raise ValueError(
                message(
                    "preprocessing as 'image' (a format), 'scale' and 'offset' (finite numbers), 'pixels' (a remark)",
                    "put any other step into the graph as a layer",
                    before={name: steps},
                )
            )
        checked[name] = dict(steps)
        if "image" in steps:
            checked[name]["image"] = complete_format(name, inputs[name]["shape"], steps["image"])
    return checked


def _is_inside(folder: Path, name: str) -> bool:
    """Whether a path from a manifest names something in its folder, on every system, links followed."""
    # a backslash and a colon are marks of folders and drives on Windows only: refused everywhere
    if not name.isprintable() or "\\" in name or ":" in name:
        return False
    try:
        return folder in (folder / name).resolve().parents
    except (OSError, RuntimeError):  # a name too long, a circle of links
        return False


def _finite(value: float) -> float | None:
    # JSON has no NaN
    return float(value) if math.isfinite(float(value)) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _commit() -> str | None:
    describe = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
