"""Run as a script: export in processes that are killed, and look what is there then; then watch an export that is not.

Children are forks of this process, which has imported everything and has not started TensorFlow.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras

import mtl_keras as mtl
from mtl_keras.export import Manifest

FILE_EVENTS = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir")


def small_model() -> keras.Model:
    x = keras.Input((4, 4, 1), name="image")
    h = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(x))
    return keras.Model(x, {"b": keras.layers.Dense(2)(h), "a": keras.layers.Dense(1)(h)})


def visible(folder: Path) -> list[str]:
    """The versions that a user or a server sees."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def check_whole(folder: Path) -> None:
    """Every version that can be seen has all its files, as its manifest describes them."""
    for name in visible(folder):
        assert sorted(os.listdir(folder / name)) == ["manifest.json", "model.keras", "model.tflite", "saved_model"]
        manifest = Manifest.read(folder / name)
        manifest.check_files(folder / name)
        assert set(manifest.parity) == {"model.keras", "model.tflite", "saved_model"}


def killed_export(folder: Path, delay: float) -> None:
    """Begin to write versions without end, and be killed so many seconds later."""
    begun = len(os.listdir(folder))
    child = os.fork()
    if child == 0:
        model = small_model()
        while True:
            mtl.export.write_version(model, folder)
    while len(os.listdir(folder)) == begun:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "the export ended by itself"
        time.sleep(0.01)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def watched_export(folder: Path) -> int:
    """Write one version, looking at the folder at every step that Python takes on files; returns how many."""
    looks = 0
    watching = True

    def look(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal looks, watching
        if watching and event in FILE_EVENTS:
            watching = False  # looking is a step too
            check_whole(folder)
            looks += 1
            watching = True

    sys.addaudithook(look)
    mtl.export.write_version(small_model(), folder)
    watching = False
    return looks


def in_child(work: Callable[[], int]) -> int:
    """What `work` returns in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(work()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as result:
        found = result.read()
    assert os.waitpid(child, 0)[1] == 0
    return int(found)


def main(folder: Path, kills: int) -> None:
    began = time.monotonic()
    looks = in_child(lambda: watched_export(folder))
    seconds = time.monotonic() - began
    assert visible(folder) == ["1"]
    rng = random.Random(3)
    for _ in range(kills):
        killed_export(folder, delay=rng.uniform(0, 1.5 * seconds))
        check_whole(folder)
        assert "1" in visible(folder)
    print(json.dumps({"looks": looks, "versions": len(visible(folder))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
