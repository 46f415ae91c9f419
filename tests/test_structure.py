"""The shape of the code base: imports point one way, files are short, Keras is used by its public surface."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "mtl_keras").rglob("*.py"))
EVERYTHING = [
    path
    for folder in ("mtl_keras", "pipelines", "benchmarks", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]

# what each part of the library may import of the others, as docs/architecture.md draws it
ALLOWED = {
    "errors": set(),
    "quiet": set(),
    "registry": {"errors"},
    "images": {"errors"},
    "graph": {"errors"},
    "gradients": {"errors"},
    "weightings": {"errors", "registry"},
    "heads": {"errors", "registry"},
    "trunks": {"errors", "registry"},
    "sharing": {"errors", "registry", "trunks"},
    "tasks": {"errors", "registry"},
    "training": {"errors", "registry", "graph", "tasks", "gradients", "weightings", "heads"},
    "models": {
        "errors", "registry", "graph", "tasks", "gradients", "weightings", "training", "heads", "trunks", "sharing",
        "optimizers", "distribute",
    },
    "optimizers": {"errors", "registry", "gradients"},
    "data": {"errors", "registry", "tasks", "heads", "distribute", "images"},
    "distribute": {"errors"},
    "analysis": {"errors", "registry", "tasks", "models"},
    "callbacks": {
        "errors", "registry", "tasks", "gradients", "weightings", "training", "models", "analysis", "distribute",
        "optimizers",
    },
    "export": {
        "errors", "quiet", "graph", "registry", "tasks", "training", "models", "analysis", "data", "images",
    },
    "finished_run": {"analysis", "export", "distribute"},
}  # fmt: skip
# the only places that may name tf.distribute
DISTRIBUTION = ("mtl_keras/gradients/replicas.py", "mtl_keras/distribute")


def imported(path):
    """Full names of the modules that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from mtl_keras import heads` imports mtl_keras.heads
            names += [
                f"{node.module}.{alias.name}" if node.module == "mtl_keras" else node.module for alias in node.names
            ]
    return names


def relative(path):
    return path.relative_to(ROOT).as_posix()


def part(path):
    inside = path.relative_to(ROOT / "mtl_keras")
    return inside.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_imports_point_one_way(path):
    own = part(path)
    if own in ("cli", "__init__"):  # the outermost layer
        return
    for name in imported(path):
        if name.split(".")[0] == "pipelines":
            pytest.fail(f"the library imports a pipeline: {name}")
        if name.startswith("mtl_keras."):
            other = name.split(".")[1]
            assert other == own or other in ALLOWED[own], f"{own} must not import {name}"


@pytest.mark.parametrize("path", EVERYTHING, ids=relative)
def test_no_file_is_long_and_none_uses_private_keras(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert not [name for name in imported(path) if name.startswith("keras.src")]


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_distribution_has_its_place(path):
    if not relative(path).startswith(DISTRIBUTION):
        assert "tf.distribute" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_no_two_test_files_have_one_name():
    """Pytest imports them as modules without packages, and takes the second for the first."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
