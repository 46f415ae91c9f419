"""Is the content of a manifest.json what `Manifest` and `Predictor` rely on? Files may come from anywhere."""

import math
from collections.abc import Callable, Iterator
from typing import Any

SCHEMA = 1

# what a task of each kind needs beside its shape: one entry for each value along the last axis
_PER_VALUE: dict[str, dict[str, type]] = {
    "classification": {"labels": str},
    "ordinal": {"labels": str},
    "multilabel": {"labels": str, "thresholds": float},
    "regression": {"units": str},
}


def wrong_part(content: dict[str, Any]) -> str | None:
    """The first part that is missing, unknown or not as it should be, as a dotted path; None if all is well."""
    return next(_wrong(content), None)


def _wrong(content: dict[str, Any]) -> Iterator[str]:
    parts: dict[str, Callable[[Any], bool]] = {
        "model": _is_text,
        "parameters": _is_count,
        "inputs": _is_dict,
        "tasks": _is_dict,
        "preprocessing": _is_dict,
        "signatures": lambda v: _is_dict(v) and all(_is_list(of, _is_text) for of in v.values()),
        "files": _is_dict,
        "parity": lambda v: (
            _is_dict(v) and all(_is_dict(of) and all(map(_is_number, of.values())) for of in v.values())
        ),
        "metrics": lambda v: _is_dict(v) and all(n is None or _is_number(n) for n in v.values()),
        "versions": lambda v: _is_dict(v) and all(map(_is_text, v.values())),
        "commit": lambda v: v is None or _is_text(v),
        "created": _is_text,
        "run": lambda v: v is None or _is_text(v),
        "schema": _is_count,
    }
    # manifests from before runs had names have none
    given = {"run": None, **content}
    yield from (name for name, good in parts.items() if name not in given or not good(given[name]))
    yield from (name for name in content if name not in parts)
    for name, described in content["inputs"].items():
        if not (_is_dict(described) and _is_shape(described.get("shape")) and _is_text(described.get("dtype"))):
            yield f"inputs.{name}"
    for name, task in content["tasks"].items():
        yield from _wrong_in_task(f"tasks.{name}", task)
    before = content["preprocessing"].get("before", {})
    if not _is_dict(before):
        yield "preprocessing.before"
        return
    for name, steps in before.items():
        if name not in content["inputs"] or not is_before(steps):
            yield f"preprocessing.before.{name}"
    for name, file in content["files"].items():
        if not (_is_dict(file) and _is_count(file.get("bytes")) and _is_text(file.get("sha256"))):
            yield f"files.{name}"


def is_before(steps: Any) -> bool:
    """Whether these are steps that `Predictor` can repeat on an input."""
    return _is_dict(steps) and all(key in _BEFORE and _BEFORE[key](value) for key, value in steps.items())


def _wrong_in_task(where: str, task: Any) -> Iterator[str]:
    if not (_is_dict(task) and _is_text(task.get("kind")) and _is_shape(task.get("shape"))):
        yield where
        return
    for key, kind in _PER_VALUE.get(task["kind"], {}).items():
        good = _is_text if kind is str else _is_number
        if not _is_list(task.get(key), good) or not task["shape"] or len(task[key]) != task["shape"][-1]:
            yield f"{where}.{key}"
        elif key == "labels" and len(set(task[key])) != len(task[key]):
            yield f"{where}.{key}"  # a result by label would lose one


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # JSON has whole numbers of any length
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list(value: Any, good: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(good, value))


def _is_shape(value: Any) -> bool:
    return _is_list(value, lambda side: isinstance(side, int) and not isinstance(side, bool) and side >= -1)


def _is_image(value: Any) -> bool:
    """Whether these are arguments of `images.ImageFormat`, which checks their values itself."""
    return (
        _is_dict(value)
        and bool(value)
        and set(value) <= {"height", "width", "channels", "resize", "background"}
        and all(_is_text(part) if key == "resize" else _is_count(part) for key, part in value.items())
    )


# steps on the way to the graph, in the order in which they are done; "pixels" is a remark for people
_BEFORE: dict[str, Callable[[Any], bool]] = {
    "image": _is_image,
    "scale": _is_number,
    "offset": _is_number,
    "pixels": _is_text,
}
