"""The table of what exports save says what was missed."""

import math

from benchmarks.export import ONE_FOR_ALL, Aim, Measured, every_preset, report


def test_an_aim_is_met_by_the_number_that_is_printed():
    assert Aim("a", "size", 0.2804, 0.28, 3).met
    assert not Aim("a", "size", 0.2806, 0.28, 3).met
    assert Aim("a", "speed", 1.996, 2, least=True).met
    assert not Aim("a", "speed", 1.99, 2, least=True).met
    assert not Aim("a", "speed", math.nan, 2, least=True).met


def test_the_report_counts_and_marks_what_is_missed():
    measured = Measured(
        1000,
        None,
        {"float32": 1000, "int8": 250},
        {"float32": 2.0, "int8": 1.6},
        {"float32": {"b": 0.9, "a": 0.8}, "int8": {"b": 0.893, "a": 0.81}},
        {"float32": {"b": 0.0, "a": 0.0}, "int8": {"b": 0.7, "a": -1.0}},
    )
    text = report({"x, `residual` trunk": measured, "y, `conv` trunk": measured}, {"time": 4.8, "size": 3.9})
    rows = text.split("\n\n")[0].splitlines()[2:]
    assert [row.split(" | ")[-1].rstrip(" |") for row in rows] == [
        *["0.250", "**0.70**", "-1.00", "**1.25**"],  # the aim of speed is one of residual trunks only
        *["0.250", "**0.70**", "-1.00"],
        *["4.80", "**3.90**"],
    ]
    assert rows[-1] == f"| {ONE_FOR_ALL} | times smaller than 5 files | at least 4 | **3.90** |"
    assert "5 of 9 aims are met; the others are bold." in text
    assert "| `int8` | 250 | 0.250 | 1.25 | 0.8930 (+0.70) | 0.8100 (-1.00) |" in every_preset({"x": measured})
