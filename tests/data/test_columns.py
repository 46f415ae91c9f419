"""Columns of a table as labels: what is inferred, what may be stated, what is missing, unseen or a problem."""

import numpy as np
import pytest
import tiny

from mtl_keras.data.columns import Column, stated_columns
from mtl_keras.data.label_reading import read_labels
from mtl_keras.data.looks import look_at
from mtl_keras.data.problems import Problems
from mtl_keras.data.table import Table, TableColumn


def table_of(**columns):
    """A table whose rows begin at 2, as in a file."""
    made = {}
    for name, texts in columns.items():
        known = {text: code for code, text in enumerate(dict.fromkeys(texts))}
        made[name] = TableColumn(name, list(known), np.array([known[text] for text in texts], np.int32))
    count = len(next(iter(columns.values())))
    return Table("shop.csv", list(columns), made, np.arange(2, 2 + count, dtype=np.int32), count)


def fitted(texts, training=None, **stated):
    """Kind, labels and unseen values of one column, with the problems."""
    problems = Problems("shop.csv")
    column = read_labels("task", Column(columns=("task",), **stated), table_of(task=texts), problems)
    training = np.ones(len(texts), bool) if training is None else np.array(training, bool)
    return *column.fit(training), problems


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["red", "green", "red", ""], "class"),
        (["0", "1", "1", "nan"], "class"),
        (["1.0", "2.0", "", "2.0"], "class"),
        ([str(number) for number in range(21)], "number"),
        (["1.5", "2", "", "-3e2"], "number"),
        (["a|b", "b", "", "a"], "multilabel"),
        (["a; b", "b", "", "a"], "multilabel"),
        (["photos/a.jpg", "b.PNG"], "image"),
        (["photos/a.jpg", "b.PNG", "../../secret", "."], "class"),
        (["photos/a.jpg", "b.PNG", "c.gif", "../../secret", "."], "image"),
        (["12", "x", "13"], "mixed"),
        (["", " ", "NaN"], "empty"),
        ([f"note {number}" for number in range(50)], "text"),
    ],
)
def test_what_a_column_looks_like(texts, kind):
    assert look_at(table_of(a=texts).column("a")).kind == kind


def test_classes_are_the_sorted_labels_of_the_training_rows():
    texts = ["red", " green", "", "blue", "NaN", "black"]
    kind, labels, unseen, problems = fitted(texts, training=[1, 1, 1, 0, 1, 0])
    assert kind.describe() == {"kind": "class", "labels": ["green", "red"]}
    assert labels.tolist() == [1, 0, -1, -1, -1, -1]
    assert unseen == {"blue": 1, "black": 1}
    assert len(problems) == 0


def test_whole_numbers_are_classes_in_the_order_of_numbers():
    kind, labels, _, _ = fitted(["10", "9.0", "09", "", "2"])
    assert kind.names == ("2", "9", "10")
    assert labels.tolist() == [2, 1, 1, -1, 0]
    kind, labels, _, problems = fitted(["01", "2.0", "2"], names=("01", "2"))
    assert (kind.names, labels.tolist(), len(problems)) == (("01", "2"), [0, 1, 1], 0)


def test_stated_names_fix_ids_and_refuse_others():
    kind, labels, _, problems = fitted(["L", "S", "XS", ""], kind="ordinal", names=("S", "M", "L"))
    assert (kind.kind, kind.names) == ("ordinal", ("S", "M", "L"))
    assert labels.tolist()[:2] == [2, 0]
    assert problems.rows == [4]
    tiny.refused(
        problems.refuse,
        "Expected a label among ['S', 'M', 'L']. Received: file='shop.csv', row=4, column='task', value='XS', "
        "bad_rows=1. Do correct the row or the names, or skip bad rows.",
    )


def test_numbers_are_scaled_by_the_training_rows():
    kind, labels, _, _ = fitted(["1.5", "2.5", "", "100.5"], training=[1, 1, 1, 0], unit="EUR")
    assert (kind.mean, kind.std, kind.low, kind.high, kind.unit) == (2.0, 0.5, 1.5, 2.5, "EUR")
    np.testing.assert_array_equal(labels, np.float32([1.5, 2.5, np.nan, 100.5]))


@pytest.mark.parametrize(
    ("text", "stated", "expected"),
    [
        ("abc", {}, "a number, or an empty cell"),
        ("inf", {}, "a number, or an empty cell"),
        ("1e39", {}, "a number, or an empty cell"),
        ("12,5", {}, "a number, or an empty cell"),
        ("-1", {"low": 0, "high": 120}, "a number from 0 to 120, or an empty cell"),
        ("121", {"low": 0, "high": 120}, "a number from 0 to 120, or an empty cell"),
    ],
)
def test_cells_that_are_no_number_of_the_range_are_problems(text, stated, expected):
    *_, problems = fitted(["1", text, "2"], kind="number", **stated)
    with pytest.raises(ValueError, match="Expected ") as error:
        problems.refuse()
    assert str(error.value) == (
        f"Expected {expected}. Received: file='shop.csv', row=3, column='task', value={text!r}, bad_rows=1. "
        "Do correct the row, or skip bad rows."
    )


def test_several_labels_in_a_cell():
    kind, labels, unseen, _ = fitted(["b|a", "a", "|", "", "a|c|z"], training=[1, 1, 1, 1, 0])
    assert kind.describe() == {"kind": "multilabel", "labels": ["a", "b"]}
    np.testing.assert_array_equal(labels, [[1, 1], [1, 0], [0, 0], [np.nan, np.nan], [1, 0]])
    assert unseen == {"c": 1, "z": 1}
    kind, labels, _, problems = fitted(["b, a", "c", "x,a"], separator=",", names=("c", "b", "a"))
    assert labels[:2].tolist() == [[0, 1, 1], [1, 0, 0]]
    assert problems.rows == [4]


def test_several_columns_of_0_and_1():
    problems = Problems("shop.csv")
    table = table_of(hat=["0", "1", "", "yes"], smile=["1.0", "", "2", "FALSE"])
    column = read_labels("face", Column(columns=("hat", "smile")), table, problems)
    kind, labels, _ = column.fit(np.ones(4, bool))
    assert kind.names == ("hat", "smile")
    np.testing.assert_array_equal(labels[[0, 1, 3]], [[0, 1], [1, np.nan], [1, 0]])
    assert problems.rows == [4]


def test_stated_values_are_missing():
    _, labels, _, problems = fitted(["3", "?", "unknown", "4", "3"], missing=("?", "unknown"))
    assert labels.tolist() == [0, -1, -1, 1, 0]
    assert len(problems) == 0
    _, labels, _, problems = fitted(["3.5", "?", "4"], missing="?")
    np.testing.assert_array_equal(labels, [3.5, np.nan, 4.0])
    kind, labels, _, _ = fitted(["0", "-1.0", "1", "-1"], missing=(-1, " n/a "))
    assert (kind.names, labels.tolist()) == (("0", "1"), [0, -1, 1, -1])


def test_columns_that_are_no_labels_are_refused_by_name():
    def refused(texts, expected, **stated):
        with pytest.raises(ValueError, match="Expected ") as error:
            fitted(texts, **stated)
        assert str(error.value).startswith(expected)

    refused(
        ["12", "13", "x"],
        "Expected either numbers or texts as labels of task 'task'. "
        "Received: file='shop.csv', column='task', row=4, value='x'. Do correct the cell",
    )
    refused(
        ["12", "13", "x", "y", "z"],
        "Expected either numbers or texts as labels of task 'task'. "
        "Received: file='shop.csv', column='task', row=2, value='12'.",
    )
    refused(["", ""], "Expected a label of task 'task'. Received: file='shop.csv', column='task', labels=0.")
    refused([f"note {i}" for i in range(50)], "Expected labels of task 'task' that occur more than once. Received")
    refused(
        ["red", "red", ""],
        "Expected at least two different labels in the training split. "
        "Received: file='shop.csv', column='task', labels=['red']. Do leave the task out, or add examples.",
    )
    expected = "Expected at least one label in the training split. Received: file='shop.csv', column='task', labels=[]."
    refused(["|", "||", ""], expected, kind="multilabel")


def test_a_label_as_long_as_a_book_is_a_problem():
    *_, problems = fitted(["red", "green", "x" * 5_000])
    with pytest.raises(ValueError, match=r"a label of at most 200 characters.*row=4.*\(5,000 characters\)"):
        problems.refuse()


def test_the_order_of_texts_is_never_guessed():
    with pytest.raises(ValueError, match="Expected ") as error:
        fitted(["few", "many", "some", ""], kind="ordinal")
    assert str(error.value) == (
        "Expected the order of the labels of task 'task', from lowest to highest. Received: file='shop.csv', "
        "column='task', labels=['few', 'many', 'some']. "
        "Do pass names=(...), or on the command line --task 'task:lowest<...<highest'."
    )
    kind, labels, _, _ = fitted(["10", "9.0", "2", ""], kind="ordinal")
    assert (kind.names, labels.tolist()) == (("2", "9", "10"), [2, 1, 0, -1])


def test_texts_of_the_command_line():
    assert Column.parse("colour") == ("colour", Column(columns=("colour",)))
    assert Column.parse("price:number") == ("price", Column("number", ("price",)))
    assert Column.parse("size=Shirt size:ordinal") == ("size", Column("ordinal", ("Shirt size",)))
    assert Column.parse("shirt=Shirt size:S < M<L") == (
        "shirt",
        Column("ordinal", ("Shirt size",), names=("S", "M", "L")),
    )
    assert Column.parse("face=hat+smile") == ("face", Column("multilabel", ("hat", "smile")))
    for text in ("", ":class", "colour:", "face=hat+", "=a"):
        with pytest.raises(ValueError, match="Expected a task as 'colour', 'colour:class' or 'task=column:kind'"):
            Column.parse(text)
    for text, example in (
        ("Shirt size:ordinal", "Shirt_size=Shirt size:ordinal"),
        ("0", "task_0=0"),
        ("a b=c", "a_b=c"),
    ):
        with pytest.raises(
            ValueError, match=rf"^Expected a task name of letters.*Do give it one, e\.g\. '{example}'\.$"
        ):
            Column.parse(text)
    with pytest.raises(ValueError, match=r"Expected every task once. Received: tasks=\['a', 'a'\]"):
        stated_columns(["a", "a:number"])


def test_statements_that_do_not_go_together():
    flags = {"columns": ("a", "b"), "names": ("x", "y", "z")}
    for stated in ({"columns": ("a", "a")}, {"columns": ()}, flags):
        with pytest.raises(ValueError, match=r"Expected (columns of a task, each once|a name for each of the columns)"):
            Column(**stated)
    for stated in ({"kind": "klass"}, {"kind": "number", "columns": ("a", "b")}, {"kind": "class", "separator": "|"}):
        with pytest.raises(ValueError, match="Expected "):
            Column(**stated)
    with pytest.raises(ValueError, match=r"Expected at least one task\. Received: tasks=\{\}\."):
        stated_columns({})
    with pytest.raises(ValueError, match=r"Expected a kind or a Column for task 'a'. Received: value=3"):
        stated_columns({"a": 3})
    for tasks in ({"a": "klass"}, ["a:klass"]):
        with pytest.raises(ValueError, match=r"Expected a kind among \[.*\] for task 'a'\. Received: kind='klass'\."):
            stated_columns(tasks)
    for limits in ({"low": "much"}, {"low": 2, "high": 1}, {"high": float("nan")}, {"low": 0, "kind": "class"}):
        with pytest.raises(ValueError, match="Expected numbers as low and high of a task of kind 'number'"):
            Column(**limits)


def test_limits_make_whole_numbers_quantities():
    kind, _, _, problems = fitted(["1", "2", "-3", "2"], low=0)
    assert (kind.kind, problems.rows) == ("number", [4])
