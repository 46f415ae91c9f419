"""The guide to exports keeps its word."""

import re

import tiny


def test_the_guide_to_exports_runs_and_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    guide = (tiny.ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", guide, re.DOTALL))
    exec(compile(code, "export.md", "exec"), {})
    said = re.findall(r"print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert said
    assert capsys.readouterr().out.splitlines() == said
