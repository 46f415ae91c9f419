"""`python -m pipelines.multi_fashion.publish VERSION`: put a finished run into the repository.

The small artefacts become `savedmodels/multi_fashion/example`, the figures and pictures those of the README. So every
number there was measured by a run, and anyone can measure it again.
"""

import argparse
import shutil
from pathlib import Path

from mtl_keras.export import Manifest
from pipelines.publish import put_measured

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "savedmodels" / "multi_fashion" / "example"
KEPT = ("model.tflite", "report.md", "predictions.png", "training.png")


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
    put_measured(version, readme)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m pipelines.multi_fashion.publish", description=__doc__)
    parser.add_argument("version", type=Path, help="a version folder that the pipeline wrote")
    publish(parser.parse_args().version)
