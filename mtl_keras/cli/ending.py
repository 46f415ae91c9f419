"""How a command ends where what it was given is wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import fspath

from mtl_keras.errors import message


@contextmanager
def ending_with_message(name: str) -> Iterator[None]:
    """Input or files that are wrong end the process with the message and exit status 1, without a traceback.

    Args:
        name: What the message begins with, the command.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        told = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            do = "check it, who may use it, and whether the disk is full"
            told = message("a path that can be used", do, path=fspath(error.filename), error=error.strerror)
        print(f"{name}: {told}", file=sys.stderr)
        sys.exit(1)
