"""Run by `benchmarks.data` in a process of its own: read on and on, and print how much memory the process holds."""

import sys
from pathlib import Path

from mtl_keras.quiet import import_tensorflow

PRINTED = 10  # times


def resident() -> float:
    """Megabytes of this process that are in memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS:"))


def read_on(kind: str, folder: Path, examples: int) -> None:
    """Print the memory after every tenth of so many training examples."""
    import_tensorflow()
    from benchmarks import data

    source = data.SOURCES[kind](folder)
    batches = source.batches(data.BATCH, training=True, augment=data.STEPS)
    seen = printed = 0
    while seen < examples:
        for x, _, _ in batches:
            seen += len(x)
            if seen * PRINTED >= (printed + 1) * examples and printed < PRINTED:
                printed += 1
                print(resident(), flush=True)


if __name__ == "__main__":
    read_on(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
