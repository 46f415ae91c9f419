"""Tables that a measurement puts into the documentation, between marks, so that no number there is typed by hand."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WEIGHTINGS = ROOT / "docs" / "weightings.md"


def record(name: str, text: str) -> None:
    """Write a measurement's text to `results/<name>.md`."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.md").write_text(f"{text.strip()}\n", encoding="utf-8")


def publish(name: str, text: str, document: Path = WEIGHTINGS) -> None:
    """Write a measurement's text to `results/<name>.md` and between the marks of that name in the document.

    Raises:
        ValueError: The document has no `<!-- name: begin -->` and `<!-- name: end -->`.
    """
    record(name, text)
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found_begin, rest = document.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"Expected the marks {begin} and {end}. Received: document={document}. Add them.")
    document.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
