"""CSV files: every row becomes an example or a problem, whatever is wrong with the file."""

import csv
import io
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtl_keras.data.table import read_table

HEADER = "path,colour\n"


def written(tmp_path, content):
    path = tmp_path / "shop.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def cells(table):
    names = list(table.columns)
    return [tuple(table.column(name).text(index) for name in names) for index in range(len(table))]


def refused(tmp_path, content, *parts, **options):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=r"^Expected .*\. Received: .*\. Do .*\.$") as error:
        read_table(path, **options)[1].refuse()
    for part in ("shop.csv", *parts):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        "path,colour\na.jpg,red\nb.jpg,\n",
        "\ufeffpath,colour\na.jpg,red\nb.jpg,\n",
        "path,colour\r\na.jpg,red\r\nb.jpg,\r\n",
        "path,colour\ra.jpg,red\rb.jpg,",
        '"path","colour"\n"a.jpg","red"\n"b.jpg",""',
        " path , colour\na.jpg,red\nb.jpg,\n\n\n",
    ],
    ids=["plain", "byte order mark", "CRLF", "CR", "quoted", "spaces and blank lines"],
)
def test_every_usual_form_is_the_same_table(tmp_path, content):
    table, problems = read_table(written(tmp_path, content))
    assert table.header == ["path", "colour"]
    assert cells(table) == [("a.jpg", "red"), ("b.jpg", "")]
    assert (table.rows.tolist(), table.read, len(problems)) == ([2, 3], 2, 0)


def test_cells_may_hold_delimiters_quotes_and_line_ends(tmp_path):
    table, _ = read_table(written(tmp_path, 'path,colour\n"a,b.jpg","dark\n""red"""\nc.jpg,blue\n'))
    assert cells(table) == [("a,b.jpg", 'dark\n"red"'), ("c.jpg", "blue")]
    assert table.rows.tolist() == [2, 3]


def test_other_delimiters_and_encodings(tmp_path):
    path = written(tmp_path, "path;colour\na.jpg;größe\n".encode("cp1252"))
    assert cells(read_table(path, delimiter=";", encoding="cp1252")[0]) == [("a.jpg", "größe")]
    path = written(tmp_path, "path\tcolour\na.jpg\tred\n".encode("utf-16"))
    assert cells(read_table(path, delimiter="\t", encoding="utf-16")[0]) == [("a.jpg", "red")]


def test_only_the_columns_that_are_asked_for_are_kept(tmp_path):
    table, _ = read_table(written(tmp_path, "a,b,c\n1,2,3\n"), ["c", "a", "c"])
    assert cells(table) == [("3", "1")]
    refused(tmp_path, "a,b\n1,2\n", "Expected a column among ['a', 'b']", "column='colour'", columns=["colour"])


def test_a_lost_quotation_mark_costs_its_own_line_only(tmp_path):
    content = HEADER + 'a.jpg,red\nb.jpg,"blue\nc.jpg,green\n"d".jpg,red\ne.jpg,"x" y\nf.jpg,red\n'
    table, problems = read_table(written(tmp_path, content))
    assert [path for path, _ in cells(table)] == ["a.jpg", "c.jpg", "f.jpg"]
    assert table.rows.tolist() == [2, 4, 7]
    assert problems.rows == [3, 5, 6]
    assert table.read == 6


def test_a_quotation_mark_that_opens_in_one_line_and_closes_lines_later_is_one_cell(tmp_path):
    table, problems = read_table(written(tmp_path, HEADER + 'a.jpg,"red\nb.jpg,blue\nc.jpg,"\nd.jpg,red\n'))
    assert cells(table) == [("a.jpg", "red\nb.jpg,blue\nc.jpg,"), ("d.jpg", "red")]
    assert len(problems) == 0


def test_problems_name_file_row_and_what_to_do(tmp_path):
    refused(
        tmp_path,
        HEADER + "a.jpg,red\nb.jpg,red,3\nc.jpg\n",
        "Expected 2 cells in every row, as in the header.",
        "row=3, text='3 cells', bad_rows=2",
        "Do put cells that hold the delimiter into quotation marks",
    )
    refused(tmp_path, HEADER + 'a.jpg,"red\n', "row=2", "quotation marks in pairs", "unexpected end of data")
    refused(
        tmp_path,
        "path,note,colour\n" + f'a.jpg,"b, ""c""",{"x" * 1_000_000}\n',
        "Expected a cell of at most 131,072 characters.",
        "row=2, column='colour', value='xxx",
        "... (1,000,000 characters)', bad_rows=1. Do shorten the cell, or skip bad rows.",
    )
    # lines that a lost quotation mark makes one cell
    refused(tmp_path, HEADER + 'a.jpg,"red\n' + "b.jpg,blue\n" * 20_000, "row=2", "field larger than field limit")
    refused(tmp_path, "path,colour,path\na,b,c\n", "columns of different names", "column='path', positions=[1, 3]")
    refused(tmp_path, "path;colour\na.jpg;red\n", "columns separated by ','", "Do pass delimiter=';'.")
    refused(tmp_path, "", "a header that names the columns")
    refused(tmp_path, "\n\n", "a header that names the columns")
    refused(tmp_path, HEADER, "rows below the header", "rows=0")
    refused(tmp_path, '"path,colour\na,b\n', "row=1")
    refused(tmp_path, HEADER.encode() + b"a.jpg,gr\xfcn\n", "text in the encoding 'utf-8'", "line=2", "xfcn")
    refused(tmp_path, "path,colour\na,b".encode("utf-16"), "line=1", "encoding='cp1252' or 'utf-16'")
    nul = "cells of text, which has no NUL characters. Received: file="
    remedy = "bad_rows=1. Do correct the row, or pass the encoding of the file, e.g. encoding='utf-16'."
    refused(tmp_path, HEADER + "a.jpg,re\0d\n", nul, f"row=2, column='colour', value='re\\x00d', {remedy}")
    refused(tmp_path, "path,colour\na,b\n".encode("utf-16-le"), nul, "row=1, text='p\\x00a\\x00")
    refused(tmp_path, HEADER, "text in the encoding 'utf-99'", encoding="utf-99")
    with pytest.raises(ValueError, match=r"Expected a CSV file\. Received: file='.*none.csv'"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"Expected the name of an encoding\. Received: encoding=None\."):
        read_table(written(tmp_path, HEADER), encoding=None)
    with pytest.raises(ValueError, match="one character as the delimiter"):
        read_table(written(tmp_path, HEADER), delimiter="||")


def test_the_list_of_problems_is_a_csv_file(tmp_path):
    _, problems = read_table(written(tmp_path, HEADER + "a.jpg\nb.jpg,red\n"))
    problems.write(tmp_path / "bad.csv")
    listed = list(csv.reader((tmp_path / "bad.csv").read_text().splitlines()))
    assert listed == [
        ["row", "column", "value", "expected"],
        ["2", "", "1 cells", "2 cells in every row, as in the header"],
    ]


# a line of a table, and whether it is a row (True), a problem (False) or nothing (None); none opens a cell for the next
LINES = {
    "a.jpg,red": True, '"a,1.jpg","dark ""red"""': True, ",": True, "é.jpg,☃": True,
    "a.jpg,\x00": False, "a.jpg": False, "a.jpg,red,": False,
    '"a".jpg,red': False, 'a.jpg,"x"y': False, "a.jpg," + "x" * 140_000: False,
    "": None,
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(list(LINES)), min_size=1, max_size=30), st.sampled_from(["\n", "\r\n", "\r"]))
def test_rows_in_are_rows_out_and_rows_reported(tmp_path_factory, lines, end):
    path = tmp_path_factory.getbasetemp() / "lines.csv"
    path.write_text("path,colour" + end + end.join(lines) + end, encoding="utf-8", newline="")
    good = [number for number, line in enumerate(lines, start=2) if LINES[line]]
    bad = [number for number, line in enumerate(lines, start=2) if LINES[line] is False]
    if not good and not bad:
        with pytest.raises(ValueError, match="rows below the header"):
            read_table(path)
        return
    table, problems = read_table(path)
    assert (table.rows.tolist(), problems.rows) == (good, bad)
    assert table.read == len(good) + len(bad)


ENDS = re.compile("\r\n|\r|\n")  # str.splitlines knows others, which a CSV file does not


def _real_file():
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["path", "colour", "price"])
    for index in range(12):
        writer.writerow([f"photos/{index}.jpg", ["red", "dark, blue", 'a "b"', ""][index % 4], index * 1.5])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from("idr"), st.binary(min_size=1, max_size=3)), max_size=6))
@example([(30, "i", b'"')])
@example([(0, "r", b"\xff\xfe")])
@example([(4, "i", b"\x0b")])
@example([(22, "i", b'"\n"'), (22, "i", b"\n"), (26, "i", b"\n")])
def test_mutated_files_are_read_or_refused_by_name(tmp_path_factory, edits):
    content = bytearray(_real_file())
    for position, how, data in edits:
        position %= len(content) + 1
        width = len(data) if how in "dr" else 0
        content[position : position + width] = data if how in "ir" else b""
    path = tmp_path_factory.getbasetemp() / "mutated.csv"
    path.write_bytes(content)
    try:
        table, problems = read_table(path)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert refusal.startswith("Expected ")
        assert "mutated.csv" in refusal
        return
    assert table.read == len(table) + len(problems)
    # every number is used once, and what has none is a blank row
    used = sorted([*table.rows.tolist(), *problems.rows])
    assert len(set(used)) == len(used)
    text = content.decode("utf-8-sig")
    whole = _strict_rows(text)
    if whole is not None:  # nothing to recover from
        assert table.read == whole
    elif all(table.header) and not any(problem.value.endswith(" cells") for problem in problems.first(99)):
        # a cell may hold many lines, and nothing can have been lost but to a cell
        held = sum(len(ENDS.findall(column.text(i))) for column in table.columns.values() for i in range(len(table)))
        lines = [line for line in ENDS.split(text) if line]
        assert table.read + held >= len(lines) - 1 - sum(len(ENDS.findall(name)) for name in table.header)


def _strict_rows(text):
    """How many rows below the header a reader finds that makes no exceptions; None where it gives up."""
    try:
        return sum(bool(cells) for cells in csv.reader(io.StringIO(text, newline=""), strict=True)) - 1
    except csv.Error:
        return None
