"""`python -m pipelines.multi_fashion.publish VERSION`: put a finished run into the repository.

The small artefacts become `savedmodels/multi_fashion/example`, the figures and pictures those of the README. So every
number there was measured by a run, and anyone can measure it again.
"""

import argparse
import shutil
from pathlib import Path

from mtl_keras.export import Manifest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "savedmodels" / "multi_fashion" / "example"
KEPT = ("model.tflite", "report.md", "predictions.png", "training.png")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def publish(version: Path, example: Path = EXAMPLE, readme: Path = ROOT / "README.md") -> None:
    """Copy what is small to `example`, and the tables of the report into the README between its marks."""
    manifest = Manifest.read(version)
    manifest.check_files(version)
    shutil.rmtree(example, ignore_errors=True)
    example.mkdir(parents=True)
    for name in KEPT:
        shutil.copy2(version / name, example / name)
    manifest.files = {name: manifest.files[name] for name in KEPT}
    manifest.write(example)
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n{measured(version)}\n\n{END}{after}", encoding="utf-8")


def measured(version: Path) -> str:
    """The first line and the tables of a report."""
    lines = (version / "report.md").read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if line.startswith("!["))
    return "\n".join(lines[2:end]).strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m pipelines.multi_fashion.publish", description=__doc__)
    parser.add_argument("version", type=Path, help="a version folder that the pipeline wrote")
    publish(parser.parse_args().version)
