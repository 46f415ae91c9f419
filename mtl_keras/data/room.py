"""Is there room for what is to be kept? Asked before it is written."""

import shutil
from os import PathLike, fspath
from pathlib import Path

from mtl_keras.errors import message


def free_memory() -> int | None:
    """Bytes of memory that this process may still take, or None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    try:  # a container may have less than the machine
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no container, or "max"
        return free
    return min(free, limit - used)


def check_memory(size: int) -> None:
    """Refuse to take more memory than there is, with a fifth of it left for training.

    Raises:
        ValueError: There is too little.
    """
    free = free_memory()
    if free is not None and size > 0.8 * free:
        raise ValueError(
            message(
                "room for the decoded images in memory",
                "cache them in a folder, choose a smaller image size, or do without the cache",
                needed=f"{size / 2**30:.1f} GiB",
                free=f"{free / 2**30:.1f} GiB",
            )
        )


def check_disk(size: int, folder: str | PathLike[str]) -> None:
    """Refuse to write more than fits on the disk of a folder.

    Raises:
        ValueError: There is too little room.
    """
    free = shutil.disk_usage(folder).free
    if size > 0.95 * free:
        raise ValueError(
            message(
                "room for the decoded images on disk",
                "choose another folder, a smaller image size, or do without the cache",
                folder=fspath(folder),
                needed=f"{size / 2**30:.1f} GiB",
                free=f"{free / 2**30:.1f} GiB",
            )
        )
