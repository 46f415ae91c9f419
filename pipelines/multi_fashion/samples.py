"""Test images as PNG files named by what they show, to try a model on.

Run it with `python -m pipelines.multi_fashion.samples --out runs/samples`.
"""

import argparse
from pathlib import Path

from PIL import Image

from mtl_keras.quiet import import_tensorflow


def write(out: Path, build: Path, count: int = 10) -> Path:
    """Write the first test images as `<number> <top left>, <bottom right>.png`.

    Args:
        out: Folder for the images.
        build: Folder of the built data set.
        count: How many, default 10.
    """
    import_tensorflow()
    from pipelines.multi_fashion import dataset

    out.mkdir(parents=True, exist_ok=True)
    test = dataset.load(build, sizes={"train": 1, "validation": 1}).test
    for number, example in enumerate(test.take(count).as_numpy_iterator(), start=1):
        shown = ", ".join(dataset.FASHION[example[task]].replace("/", " or ") for task in dataset.TASKS)
        Image.fromarray(example["image"][:, :, 0]).save(out / f"{number:02} {shown}.png")
    return out


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.multi_fashion.samples",
        description="Write test images as PNG files.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/samples"), help="folder for the images")
    parser.add_argument("--build", type=Path, default=Path("runs/samples-data"), help="folder of the built data set")
    parser.add_argument("--count", type=int, default=10)
    options = parser.parse_args(arguments)
    print(f"Written to {write(options.out, options.build, options.count)}")


if __name__ == "__main__":
    main()
