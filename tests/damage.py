"""Run as a script: damage a file many times, and tell how a process ends that opens the artefact it belongs to.

Native code reads these files, so each is opened in a process of its own (a fork of this one, which is small).
"""

import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from mtl_keras.export._runtimes import open_runtime

ANSWER, REFUSAL, OTHER_ERROR, OTHER_ANSWER = range(4)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes cut off, changed, cleared or set."""
    changed = bytearray(data)
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(changed[: rng.randrange(len(changed))])
    if kind == 1:
        for _ in range(rng.choice([1, 4, 16])):
            changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
        return bytes(changed)
    length = min(rng.randrange(1, 64), len(changed))
    place = rng.randrange(len(changed) - length + 1)
    changed[place : place + length] = (b"\0" if kind == 2 else b"\xff") * length
    return bytes(changed)


def run_all(path: Path) -> list[np.ndarray]:
    """Outputs of every signature, on ones."""
    runtime = open_runtime(path)
    outputs = []
    for signature in sorted(runtime.signatures()):
        inputs = {
            name: np.ones([max(side, 1) for side in shape], kind)
            for name, (shape, kind) in runtime.inputs(signature).items()
        }
        outputs += [value for _, value in sorted(runtime.run(signature, inputs).items())]
    return outputs


def outcome(path: Path, expected: list[np.ndarray] | None) -> int:
    """The exit status of a process that runs an artefact, negative where a signal ended it."""
    child = os.fork()
    if child == 0:
        code = OTHER_ERROR
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            found = run_all(path)
            same = expected is None or all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
            code = ANSWER if same else OTHER_ANSWER
        except ValueError as error:
            code = REFUSAL if str(error).startswith("Expected ") else OTHER_ERROR
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(artefact: str, parts: str, times: str) -> None:
    """Damage `artefact`, or the files `parts` in it in turn, so many times; prints `{exit status: seeds}`."""
    ends: dict[int, list[int]] = {}
    expected = None if parts else run_all(Path(artefact))
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(int(times)):
            copy = Path(folder) / f"{seed}{Path(artefact).suffix}"
            if parts:
                names = parts.split(",")
                file = shutil.copytree(artefact, copy) / names[seed % len(names)]
            else:
                file = shutil.copy(artefact, copy)
            file.write_bytes(damaged(file.read_bytes(), random.Random(seed)))
            ends.setdefault(outcome(copy, expected), []).append(seed)
    print(json.dumps(ends))


if __name__ == "__main__":
    if sys.argv[2]:
        import tensorflow as tf  # noqa: F401  once, for all forks
    main(*sys.argv[1:])
