"""The tables that measurements put into the documentation say what the measurements found."""

import re

import pytest

from benchmarks import document
from benchmarks.quality_report import FIXED, SINGLE, gains, report

BUDGET = {"sizes": {"train": 12_000, "validation": 2_000, "test": 4_000}, "epochs": 4, "batch": 128, "data": "full"}


def line(method, seed, a=None, b=None, validation=0.5, error=None):
    same = {"method": method, "seed": seed, "budget": BUDGET, "cpu_seconds": 3.0, "wall_seconds": 8.0}
    if error:
        return {**same, "error": error}
    test = {task: value for task, value in (("a", a), ("b", b)) if value is not None}
    return {**same, "test": test, "validation": dict.fromkeys(test, validation)}


@pytest.fixture
def lines():
    """Single tasks at 0.8 and 0.5; one method above, one below, one level, one that failed."""
    found = []
    for seed in (2, 0, 1):
        found += [line(f"{SINGLE}a", seed, a=0.8), line(f"{SINGLE}b", seed, b=0.5), line("equal", seed, 0.8, 0.5)]
        found += [line("pcgrad", seed, 0.84, 0.6), line("imtl", seed, 0.76, 0.5), line("static", seed, 0.8, 0.5)]
        found += [
            line(f"{FIXED}0.3 / 0.7", seed, 0.8, 0.55, validation=0.6),
            line("krum", seed, error="ValueError: few"),
        ]
    return found


def test_gain_is_the_mean_over_tasks_of_relative_changes(lines):
    found = [line for line in lines if line["method"] == "pcgrad"]
    assert gains(found, {"a": 0.8, "b": 0.5}) == pytest.approx([12.5] * 3)  # (5 % + 20 %) / 2


def test_the_report_is_ordered_counts_and_keeps_what_failed(lines):
    text = report(lines, ["a", "b"])
    names = re.findall(r"^\| (.*?) \| [\d.]+ ±", text, re.MULTILINE)
    level = ["`equal`", "`static`"]
    assert names == [
        "single-task models",
        "`pcgrad`",
        "tuned fixed weights: 0.3 / 0.7",
        *level,
        "`imtl` of `imtll`, `imtlg`",
    ]
    assert "| `pcgrad` | 84.0 ± 0.0 | 60.0 ± 0.0 | +12.5 ± 0.0 | 3 | 8 |" in text
    assert "| single-task models | 80.0 ± 0.0 | 50.0 ± 0.0 | +0.0 ± 0.0 | 6 | 16 |" in text  # two trainings
    assert "- `krum`: ValueError: few" in text
    assert "Better than the single-task models on average: 2 of 5." in text
    # `static` is equal weights by another name: it is neither better nor worse, and does not count
    assert "Better than equal weights with every seed: 2 of 3 (`pcgrad`, tuned fixed weights: 0.3 / 0.7)." in text
    assert "Worse than equal weights with every seed: 1 of 3 (`imtl` of `imtll`, `imtlg`)." in text
    assert "the best on the validation pairs are 0.3 / 0.7." in text


def test_only_seeds_that_every_method_has_are_compared(lines):
    short = [line for line in lines if (line["method"], line["seed"]) != ("imtl", 1)]
    short += [line("fairgrad", seed, 0.9, 0.9) for seed in (0, 2)] + [line("fairgrad", 1, error="ValueError: NaN")]
    text = report(short, ["a", "b"])
    assert "over 2 seeds" in text
    assert "`fairgrad` |" not in text  # it failed once: named, not ranked
    assert "- `fairgrad`: ValueError: NaN" in text
    alone = report([line for line in lines if line["seed"] == 0], ["a", "b"])
    assert "of one seed: no spread is known" in alone
    assert "| `pcgrad` | 84.0 | 60.0 | +12.5 | 3 | 8 |" in alone


def test_publish_replaces_what_is_between_the_marks_only(tmp_path, monkeypatch):
    monkeypatch.setattr(document, "RESULTS", tmp_path / "results")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- speed: begin -->\nold\n<!-- speed: end -->\nafter\n")
    document.publish("speed", "new\n", page)
    assert page.read_text() == "before\n<!-- speed: begin -->\n\nnew\n\n<!-- speed: end -->\nafter\n"
    assert (tmp_path / "results" / "speed.md").read_text() == "new\n"
    with pytest.raises(ValueError, match=r"Expected the marks <!-- quality: begin --> and .* Add them\."):
        document.publish("quality", "new", page)
