"""`python -m pipelines.publish VERSION README`: put what a run measured into a README, between its marks.

So every number there was measured by a run, and anyone can measure it again.
"""

import argparse
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def put_measured(version: Path, readme: Path) -> None:
    """Put the first line and the tables of a version's report between the marks of a README."""
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n{measured(version)}\n\n{END}{after}", encoding="utf-8")


def measured(version: Path) -> str:
    """The first line and the tables of a report."""
    lines = (version / "report.md").read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if line.startswith("!["))
    return "\n".join(lines[2:end]).strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m pipelines.publish", description=__doc__)
    parser.add_argument("version", type=Path, help="a version folder that a pipeline wrote")
    parser.add_argument("readme", type=Path, help="a README with the marks")
    put_measured(**vars(parser.parse_args()))
