"""Examples that could no longer be read while training, counted at its end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SHOWN = 3  # files


@contextmanager
def lost_told(*data: Any) -> Iterator[None]:
    """Say at the end, on standard error, how many examples of the data were left out since the beginning.

    Data of `mtl_keras.data` have a method `lost()`, which gives their number by file.
    """
    asked = [part.lost for part in data if hasattr(part, "lost")]
    before = [lost() for lost in asked]
    yield
    found: dict[str, int] = {}
    for lost, known in zip(asked, before, strict=True):
        found |= {file: count for file, count in lost().items() if count > known.get(file, 0)}
    if found:
        count = sum(found.values())
        more = ", ..." if len(found) > _SHOWN else ""
        files = ", ".join(list(found)[:_SHOWN]) + more
        print(f"Left out while training, as they could no longer be read: {count} examples of {files}", file=sys.stderr)
