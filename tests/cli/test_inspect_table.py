"""`mtl-keras inspect` on a CSV file."""

import tensorflow as tf
from cli.shop import write_shop
from cli.test_cli import run


def test_every_column_its_labels_and_the_images(capsys, tmp_path):
    file = write_shop(tmp_path)
    (tmp_path / "photos" / "1.jpg").write_bytes((tmp_path / "photos" / "1.jpg").read_bytes()[:-10])
    (tmp_path / "photos" / "2.jpg").unlink()
    with file.open("a") as more:
        more.write('a.jpg,"re"d,1,a,1\n')
    status, out, err = run(capsys, "inspect", file, "--root", tmp_path / "photos", "--sheet", tmp_path / "sheet.png")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{file}: 61 rows, 5 columns"
    rows = {line.split("  ")[0]: " ".join(line.split()) for line in lines[2:7]}
    assert rows["path"] == "path paths of images 60 different, e.g. 0.jpg 0% -"
    assert rows["colour"] == "colour 3 classes green 33%, blue 33%, red 33% 25% 1.0x"
    assert rows["price"] == "price numbers 5.5 to 7.5, mean 6.5 0% -"
    assert rows["tags"] == "tags several labels b 67%, a 33% 0% 2.0x"
    assert rows["Shelf number"] == "Shelf number 5 classes 0 20%, 1 20%, 2 20%, 3 20%, 4 20% 0% 1.0x"
    assert lines[7:9] == [
        "1 row that cannot be read:",
        "  row 62: expected cells of a usual length, with quotation marks in pairs around a whole cell; "
        "a.jpg,\"re\"d,1,a,1 (',' expected after '\"')",
    ]
    assert lines[9:13] == [
        "path: 60 different files",
        "2 rows whose image cannot be used:",
        "  row 3: expected an image file that is whole; 1.jpg",
        "  row 4: expected a file that exists; 2.jpg",
    ]
    assert lines[13] == "path: from 20x16 to 20x16 pixels"
    assert lines[14] == f"Samples with their labels: {tmp_path / 'sheet.png'}"
    assert lines[15].startswith("Train on it with: mtl-keras train --csv ")
    assert lines[15].endswith(
        "--skip-bad --task colour --task price --task tags --task 'Shelf_number=Shelf number' --out savedmodels/shop"
    )
    assert min(tf.io.decode_png((tmp_path / "sheet.png").read_bytes()).shape[:2]) > 500


def test_the_column_that_names_the_splits_is_used_as_such(capsys, tmp_path):
    file = write_shop(tmp_path, 12)
    header, *rows = file.read_text().splitlines()
    parts = ["train", "validation", "Test", "train"] * 3
    file.write_text("\n".join([f"{header},part", *map(",".join, zip(rows, parts, strict=True))]))
    sheet = ["--sheet", tmp_path / "sheet.png"]
    _, out, _ = run(capsys, "inspect", file, "--root", tmp_path / "photos", *sheet)
    assert "--split-column part --task colour" in out
    assert "--task part" not in out
    file.write_text(file.read_text().replace(",", ";").replace(";5.5;", ";?;"), encoding="utf-16")
    reading = ["--delimiter", ";", "--encoding", "utf-16", "--missing", "?"]
    _, out, _ = run(capsys, "inspect", file, "--root", tmp_path / "photos", *sheet, *reading)
    assert "--delimiter ';' --encoding utf-16 --missing '?' --split-column part --task colour --task price" in out
    file.write_text(file.read_text(encoding="utf-16").replace(";", ","))
    file.write_text(file.read_text().replace(",Test", ",tset"))
    _, out, _ = run(capsys, "inspect", file, "--root", tmp_path / "photos", *sheet)
    assert "--split-column" not in out


def test_a_table_without_images(capsys, tmp_path):
    (tmp_path / "a.csv").write_text("age,note\n31,x\n?,y\n40,z\n")
    status, out, _ = run(capsys, "inspect", tmp_path / "a.csv", "--missing", "?")
    assert status == 0
    assert out.splitlines()[-1] == "No column of image paths; --image names it."
    _, out, _ = run(capsys, "inspect", tmp_path / "a.csv")
    assert "numbers and texts  '?' in row 3" in out


def test_odd_paths_are_named_by_row_and_what_is_always_or_never_the_same_is_no_task(capsys, tmp_path):
    file = write_shop(tmp_path, 12)
    file.write_text(file.read_text().replace("\n3.jpg", "\n../3.jpg").replace("\n4.jpg", "\n."))
    (tmp_path / "photos" / "5.jpg").unlink()
    (tmp_path / "photos" / "5.jpg").mkdir()
    header, *rows = file.read_text().splitlines()
    rows += [row.replace(f"{number}.jpg", "0.jpg") for number, row in enumerate(rows)]  # more than look like classes
    rows = [f"{row},Paris,{number},{number % 23}" for number, row in enumerate(rows)]
    file.write_text("\n".join([f"{header},shop,id,days", *rows]))
    _, out, _ = run(capsys, "inspect", file, "--root", tmp_path / "photos", "--sheet", tmp_path / "sheet.png")
    for line in (
        "  row 5: expected a path inside the root folder; ../3.jpg",
        "  row 6: expected a path inside the root folder; .",
        "  row 7: expected a file, not a folder; 5.jpg",
    ):
        assert line in out.splitlines()
    assert "shop one class only Paris 100%" in " ".join(out.split())
    assert "--task colour" in out
    assert "--task shop" not in out
    assert "id numbers, no two alike 0 to 23, mean 11.5" in " ".join(out.split())
    assert "--task days" in out
    assert "--task id" not in out


def test_wrong_files_end_with_their_message(capsys, tmp_path):
    status, _, err = run(capsys, "inspect", tmp_path / "none.csv")
    assert status == 1
    assert err == f"mtl-keras: Expected a CSV file. Received: file='{tmp_path}/none.csv'. Do check the path.\n"
    status, _, err = run(capsys, "inspect", tmp_path / "none.csv", "--sheet", "a.txt")
    assert (status, "Expected a .png file for the samples. Received: sheet='a.txt'." in err) == (1, True)
    (tmp_path / "a.csv").write_text("path\nx.jpg\n")
    status, _, err = run(capsys, "inspect", tmp_path / "a.csv", "--image", "photo")
    assert (status, "Expected a column among ['path']" in err) == (1, True)
