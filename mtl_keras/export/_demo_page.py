"""A static page that runs an exported model in the browser, to try it and to show it."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._atomic import appearing
from mtl_keras.export._examples import random_arrays
from mtl_keras.export._find import artefacts, manifest_of
from mtl_keras.export._image_inputs import image_format
from mtl_keras.export._runtimes import ALL_TASKS, LiteRTRuntime

# the release that the page is tested with
LITERT = "@litertjs/core@2.5.3"
_ASSETS = Path(__file__).with_name("demo_page")
# in the npm packages, and in the page; browsers without relaxed SIMD take the files named compat
_RUNTIME = {
    "core/dist/index.js": "core.js",
    "wasm-utils/dist/index.js": "wasm-utils.js",
    "core/wasm/litert_wasm_internal.js": "wasm/litert_wasm_internal.js",
    "core/wasm/litert_wasm_internal.wasm": "wasm/litert_wasm_internal.wasm",
    "core/wasm/litert_wasm_compat_internal.js": "wasm/litert_wasm_compat_internal.js",
    "core/wasm/litert_wasm_compat_internal.wasm": "wasm/litert_wasm_compat_internal.wasm",
}
_DTYPES = ("float32", "uint8", "int32")  # those that LiteRT.js has


def demo_page(
    path: str | PathLike[str],
    out: str | PathLike[str],
    samples: Sequence[str | PathLike[str]] = (),
    title: str | None = None,
    litert: str | PathLike[str] | None = None,
) -> Path:
    """Write a page where a person drops a picture and sees every task's answer.

    Everything it needs is in the folder, the LiteRT runtime for browsers too; nothing is loaded from elsewhere and no
    picture leaves the browser. It has to be served over HTTP, by any server of files.

    Args:
        path: A version folder, or a .tflite file with its manifest beside it, of a model that takes one image.
        out: A folder that does not exist.
        samples: Images to pick from, or folders of them; their names are shown.
        title: The page's heading, default the model's name.
        litert: A `node_modules` folder where `@litertjs/core` is installed; by default npm fetches it.

    Returns:
        The folder.

    Raises:
        ValueError: The model cannot run in a browser or takes no image, a sample is no image, or the LiteRT runtime is
            not to be had. There is nothing at `out` then.
    """
    artefact = next((file for file in artefacts(Path(path)) if file.suffix == ".tflite"), None)
    if artefact is None:
        raise ValueError(message("a .tflite file, which browsers run", "export one", path=fspath(path)))
    described = describe_page(artefact, title)
    pictures = _pictures(samples)
    with appearing(out) as unfinished:
        shutil.copytree(_ASSETS, unfinished)
        shutil.copy(artefact, unfinished / described["file"])
        (unfinished / "samples").mkdir()
        for number, picture in enumerate(pictures, start=1):
            file = f"samples/{number}{picture.suffix.lower()}"
            shutil.copy(picture, unfinished / file)
            described["samples"].append({"file": file, "name": picture.stem})
        (unfinished / "page.json").write_text(json.dumps(described, indent=2, ensure_ascii=False), encoding="utf-8")
        if litert is None:
            with tempfile.TemporaryDirectory() as folder:
                _copy_runtime(_fetched(Path(folder)), unfinished / "litert")
        else:
            _copy_runtime(Path(litert), unfinished / "litert")
    return Path(out)


def describe_page(artefact: Path, title: str | None = None) -> dict[str, Any]:
    """What page.json says: the model's file, its input with the recorded preprocessing, its tasks.

    Raises:
        ValueError: The page could not run the model.
    """
    manifest = manifest_of(artefact)
    if manifest is None:
        raise ValueError(
            message(
                "a manifest.json beside the model that lists it",
                "export with mtl_keras.export.write_version",
                path=fspath(artefact),
            )
        )
    runtime = LiteRTRuntime(artefact)
    signature = ALL_TASKS if ALL_TASKS in runtime.signatures() else next(iter(runtime.signatures()))
    inputs = runtime.inputs(signature)
    if len(inputs) != 1:
        raise ValueError(message("a model with one input, an image", "show another model", inputs=list(inputs)))
    [(name, (shape, dtype))] = inputs.items()
    if shape[0] != 1 or dtype not in _DTYPES or len(shape) != 4 or -1 in shape:
        raise ValueError(
            message(
                f"an input of shape [1, height, width, channels] and a dtype among {list(_DTYPES)} for browsers",
                "export with litert(batch_size=1)",
                input=name,
                shape=shape,
                dtype=dtype,
            )
        )
    if runtime.stored_as_integers(signature):
        raise ValueError(
            message(
                "inputs and outputs in float or whole pixels for browsers",
                "export with quantization='int8', whose inside is just as small",
                scaled=runtime.stored_as_integers(signature),
            )
        )
    outputs = runtime.run(signature, random_arrays(inputs))
    steps = manifest.preprocessing.get("before", {}).get(name, {})
    return {
        "title": title or manifest.model.replace("_", " ").capitalize(),
        "file": artefact.name,
        "bytes": artefact.stat().st_size,
        "signature": signature,
        "input": {
            "name": name,
            "shape": shape[1:],
            "dtype": dtype,
            "format": image_format(name, shape, steps).describe(),
            "scale": steps.get("scale", 1.0),
            "offset": steps.get("offset", 0.0),
        },
        "tasks": {task: manifest.tasks[task] for task in manifest.tasks if task in outputs}
        | {task: _values(output) for task, output in outputs.items() if task not in manifest.tasks},
        "samples": [],
    }


def _values(output: np.ndarray) -> dict[str, Any]:
    return {"kind": "values", "shape": list(output.shape[1:])}


def _pictures(samples: Sequence[str | PathLike[str]]) -> list[Path]:
    from mtl_keras.images import read_header

    found: list[Path] = []
    for sample in map(Path, samples):
        if sample.is_dir():
            found += sorted(path for path in sample.iterdir() if path.is_file() and not path.name.startswith("."))
        else:
            found.append(sample)
    for picture in found:
        read_header(picture)
    return found


def _fetched(folder: Path) -> Path:
    """The node_modules folder with the LiteRT runtime, fetched by npm."""
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(
            message(
                f"npm, or the npm package {LITERT} in a node_modules folder",
                "install Node.js, or pass litert=..., --litert on the command line",
                npm="not found",
            )
        )
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-save", "--loglevel=error"]
    done = subprocess.run(
        [npm, "install", "--prefix", str(folder), *quiet, LITERT], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(
            message(
                f"npm to fetch {LITERT}",
                "connect to a registry, or pass litert=..., --litert on the command line",
                npm=done.stderr.strip()[-300:],
            )
        )
    return folder / "node_modules"


def _copy_runtime(modules: Path, to: Path) -> None:
    (to / "wasm").mkdir(parents=True)
    for source, target in _RUNTIME.items():
        file = modules / "@litertjs" / source
        if not file.is_file():
            raise ValueError(
                message(f"a node_modules folder with {LITERT}", f"run npm install {LITERT} there", missing=fspath(file))
            )
        shutil.copy(file, to / target)
