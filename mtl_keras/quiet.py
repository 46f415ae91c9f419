"""Native code writes notes straight to the process's error stream: kept from the terminal here."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_KEPT = 4000  # characters of the notes that an error carries

# the stream belongs to the whole process: one thread at a time may turn it away
_lock = threading.RLock()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep back what native code writes to stderr; an error that leaves the block carries it as a note."""
    with _lock, tempfile.TemporaryFile() as kept:
        try:
            original = os.dup(2)
        except OSError:  # a process without a terminal
            yield
            return
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception as error:
            kept.seek(0)
            notes = kept.read().decode(errors="replace").strip()
            if notes:
                error.add_note(notes[-_KEPT:])
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)


def import_tensorflow() -> None:
    """Import TensorFlow without its notes on the machine, which no log level turns off while it is being imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():
        import tensorflow  # noqa: F401
