"""How far a command has come in looking at files."""

import sys
import time
from typing import Any

_WORDS = {"headers": "Looking at files", "pixels": "Decoding images"}


class Watching:
    """A line on a terminal that is rewritten in place and gone at the end; nothing elsewhere."""

    def __enter__(self) -> "Watching":
        self._shown = 0.0
        self._live = sys.stderr.isatty()
        return self

    def __call__(self, what: str, number: int, of: int) -> None:
        """Show that `number` of `of` files are done."""
        now = time.monotonic()
        if self._live and now - self._shown > 0.2:
            self._shown = now
            print(f"\r\x1b[K{_WORDS.get(what, what)}: {number:,} of {of:,}", end="", file=sys.stderr, flush=True)

    def __exit__(self, *error: Any) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
