"""The memory that a .tflite file needs to run, measured in a process of its own."""

import re
import subprocess
import sys
from os import PathLike, fspath
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(path: str | PathLike[str]) -> int | None:
    """Bytes that loading a .tflite file and running `all_tasks` once add to a process with the interpreter loaded.

    Returns:
        The highest number of bytes in memory at once less those before; None where the system does not tell (it has no
        `/proc`).

    Raises:
        ValueError: The file does not run.
    """
    if not _RESET.exists():
        return None
    command = [sys.executable, "-m", "mtl_keras.export._memory", fspath(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        raise ValueError(done.stderr.strip().rsplit("\n", 1)[-1])
    return int(done.stdout)


def _environment() -> dict[str, str]:
    import os

    # the process must find this library wherever the caller found it
    paths = [fspath(Path(__file__).parents[2]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _measure(path: str) -> int:
    from ai_edge_litert import interpreter  # noqa: F401  not part of what the file needs

    from mtl_keras.export._examples import random_arrays
    from mtl_keras.export._runtimes import ALL_TASKS, open_runtime

    _RESET.write_text("5")  # the peak counts from here
    before = _kilobytes("VmRSS")
    runtime = open_runtime(path, threads=1)
    wanted = {name: ([1 if n == -1 else n for n in shape], of) for name, (shape, of) in runtime.inputs().items()}
    runtime.run(ALL_TASKS, random_arrays(wanted))
    return 1024 * (_kilobytes("VmHWM") - before)


def _kilobytes(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


if __name__ == "__main__":
    print(_measure(sys.argv[1]))
