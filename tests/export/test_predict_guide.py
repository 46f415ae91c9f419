"""The guide to predictions keeps its word."""

import re
import shutil

import tiny

GUIDE = (tiny.ROOT / "docs" / "predict.md").read_text(encoding="utf-8")


def test_the_guide_to_predictions_runs_and_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example = "savedmodels/multi_fashion/example"
    shutil.copytree(tiny.ROOT / example, tmp_path / example)
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL))
    exec(compile(code, "predict.md", "exec"), {})
    # beside the print, or below it
    said = re.findall(r"print\(.*\)(?:  |\n *)# (.*)$", code, re.MULTILINE)
    assert len(said) == 8
    assert capsys.readouterr().out.splitlines() == said


def test_its_numbers_are_those_of_the_benchmark():
    result = (tiny.ROOT / "benchmarks" / "results" / "predictor_start.md").read_text(encoding="utf-8")
    table = [line for line in result.splitlines() if line.startswith("|")]
    shown = GUIDE.split("<!-- start: begin -->")[1].split("<!-- start: end -->")[0]
    assert shown.strip().splitlines() == table
