"""How long `data.from_csv` takes on a CSV file with a million rows and as many image files, and how much memory.

Two Python processes: one does the least that has to be done, without TensorFlow (read the rows, ask the file system for
each file); one imports the library, makes the source with `check="paths"` and takes the first training batch. What an
`import` takes is in the numbers. Files are hard links to a few small images, so that making them does not take long.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.document import ROOT, record

LINKS = 30_000  # of one file: file systems allow no more than 65,000
FOLDER = 1_000  # files in a folder

_MEASURE = """
import resource, sys, time
began = time.monotonic()
def lap(name):
    used = resource.getrusage(resource.RUSAGE_SELF)
    clock = time.monotonic() - began
    laps.append([name, clock, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024])
laps, file = [], sys.argv[1]
"""
LEAST = """
import csv, os
with open(file, newline="") as lines:
    rows = [cells for cells in csv.reader(lines)]
lap("`csv.reader`, all rows in a list")
for cells in rows[1:]:
    os.stat(os.path.join(os.path.dirname(file), cells[0]))
lap("and `os.stat` of every file")
"""
LIBRARY = f"""
sys.path.insert(0, {str(ROOT)!r})
from mtl_keras import data
lap("`import mtl_keras`, with TensorFlow")
source = data.from_csv(file, "path", ["colour", "price:number", "tags:multilabel"], image_size=64, check="paths")
lap('and `data.from_csv(..., check="paths")`')
assert sum(source.sizes.values()) == int(sys.argv[2])
next(iter(source.batches(64, training=True)))
lap("and the first training batch")
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.csv_rows", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="default 1,000,000")
    parser.add_argument("--folder", type=Path, help="where to make the files, default a temporary folder")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        file = _write(Path(folder), options.rows)
        size = file.stat().st_size
        laps = [lap for script in (LEAST, LIBRARY) for lap in _run(script, file, options.rows)]
    text = "\n".join(
        [
            "# A CSV file with many rows",
            "",
            f"{options.rows:,} rows ({size / 1e6:.0f} MB) with a class, a number, several labels in a cell, and an"
            " image file each. Every line includes those above it of the same process. The clock depends on what else"
            " the machine does, processor time hardly.",
            "",
            "| process | s on the clock | s of processor time | peak memory, MB |",
            "|---|---|---|---|",
            *(f"| {name} | {clock:.1f} | {cpu:.1f} | {1.048576 * peak:.0f} |" for name, clock, cpu, peak in laps),
            "",
            "Made by `python -m benchmarks.csv_rows`.",
            "",
        ]
    )
    record("csv_rows", text)
    print(text)


def _write(folder: Path, rows: int) -> Path:
    """The image files and the CSV file."""
    lines = ["path,colour,price,tags"]
    for row in range(rows):
        if row % LINKS == 0:
            first = folder / f"image{row // LINKS}.jpg"
            Image.new("RGB", (64, 64), (row % 255, 99, 199)).save(first)
        place = f"photos/{row // FOLDER:04}"
        if row % FOLDER == 0:
            (folder / place).mkdir(parents=True)
        os.link(first, folder / place / f"{row}.jpg")
        colour, tags = ("red", "green", "blue", "")[row % 4], ("a|b", "b", "|")[row % 3]
        lines.append(f"{place}/{row}.jpg,{colour},{row * 7919 % 100_000 / 100},{tags}")
    file = folder / "rows.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def _run(script: str, file: Path, rows: int) -> list[list]:
    text = f"{_MEASURE}{script}\nimport json; print(json.dumps(laps))"
    command = [sys.executable, "-c", text, str(file), str(rows)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
