"""A shop of sixty photos with a CSV file: red, green and blue ones, large and small, some without labels."""

import csv

from PIL import Image

COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)}


def write_shop(folder, count=60):
    """Write photos and `shop.csv` into a folder; returns the file."""
    (folder / "photos").mkdir()
    with (folder / "shop.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "colour", "price", "tags", "Shelf number"])
        for index in range(count):
            colour = list(COLOURS)[index % 3]
            Image.new("RGB", (20, 16), COLOURS[colour]).save(folder / "photos" / f"{index}.jpg")
            labels = [colour if index % 4 else "", 5.5 + index % 3, ["a|b", "b", "|"][index % 3], index % 5]
            writer.writerow([f"{index}.jpg", *labels])
    return folder / "shop.csv"
