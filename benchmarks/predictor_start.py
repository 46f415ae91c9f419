"""How long a machine without TensorFlow takes from nothing to the first answer of a .tflite file.

Every measurement is a Python process of its own, in a virtual environment made here that holds numpy, pillow and
ai-edge-litert only. The processes take turns, and what a bare `python` takes is subtracted. Measured is processor time,
which hardly depends on what else the machine does; where that is nothing, the clock shows about the same.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import venv
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.document import ROOT, record
from mtl_keras.export._timing import time_side_by_side

EXAMPLE = ROOT / "savedmodels" / "multi_fashion" / "example"
PACKAGES = ("numpy", "pillow", "ai-edge-litert")

_PREDICTOR = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from mtl_keras.export import Predictor
predictor = Predictor({str(EXAMPLE)!r})
"""
SCRIPTS = {
    "`import numpy`": "import numpy",
    "`import numpy, PIL.Image, ai_edge_litert.interpreter`": "import numpy, PIL.Image, ai_edge_litert.interpreter",
    "`Predictor(folder)`, ready": _PREDICTOR,
    "`Predictor(folder).predict(array)`, answered": _PREDICTOR
    + "import numpy; predictor.predict(numpy.zeros((36, 36, 1), 'uint8'))",
    "`Predictor(folder).predict('photo.png')`, answered": _PREDICTOR + "predictor.predict({photo!r})",
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predictor_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="processes of each kind, default 15")
    rounds = parser.parse_args(arguments).rounds
    with tempfile.TemporaryDirectory() as folder:
        python = _environment(Path(folder) / "venv")
        photo = Path(folder) / "photo.png"
        _run(python, f"from PIL import Image; Image.new('RGB', (640, 480), (9, 99, 199)).save({str(photo)!r})")
        scripts = {name: text.replace("{photo!r}", repr(str(photo))) for name, text in SCRIPTS.items()}
        seen: dict[str, list[float]] = {"bare": [], **{name: [] for name in scripts}}

        def measure(name: str) -> None:
            before = _processor_time()
            _run(python, scripts.get(name, "pass"))
            seen[name].append(1e3 * (_processor_time() - before))

        time_side_by_side({name: partial(measure, name) for name in seen}, rounds, warm_up=2)
        times = {name: median(of[2:]) for name, of in seen.items()}
        version = _run(python, "import sys; print(sys.version.split()[0])")
    bare, numpy = times.pop("bare"), times["`import numpy`"]
    rows = [f"| {name} | {ms - bare:.0f} | {(ms - bare) / (numpy - bare):.1f} |" for name, ms in times.items()]
    text = "\n".join(
        [
            "# From nothing to the first answer",
            "",
            f"Python {version}, a virtual environment with {', '.join(PACKAGES)} only; processor time, medians of"
            f" {rounds} processes that took turns, less the bare interpreter.",
            "",
            "| process | ms | times `import numpy` |",
            "|---|---|---|",
            *rows,
            "",
            "Made by `python -m benchmarks.predictor_start`.",
            "",
        ]
    )
    record("predictor_start", text)
    print(text)


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def _processor_time() -> float:
    """Seconds that finished child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(python: Path, script: str) -> str:
    done = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
