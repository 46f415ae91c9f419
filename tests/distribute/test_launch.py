"""The launcher, with small programs that know nothing of TensorFlow."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mtl_keras.distribute import launch

ROOT = Path(__file__).parents[2]


def launched(program, workers=2, grace=10.0):
    out = io.StringIO()
    status = launch.run([sys.executable, "-c", program], workers, grace, out)
    return status, out.getvalue().splitlines()


def test_workers_know_their_places_and_print_with_a_prefix():
    status, lines = launched("import os; print(os.environ['TF_CONFIG']); print('é', end='')", workers=3)
    assert status == 0
    found = {}
    for line in lines:
        prefix, _, text = line.partition(" ")
        found.setdefault(prefix, []).append(text)
    assert sorted(found) == ["[0]", "[1]", "[2]"]
    configs = [json.loads(found[f"[{index}]"][0]) for index in range(3)]
    assert [config["task"] for config in configs] == [{"type": "worker", "index": index} for index in range(3)]
    addresses = configs[0]["cluster"]["worker"]
    assert len(set(addresses)) == 3
    assert all(config["cluster"]["worker"] == addresses for config in configs)
    assert all(address.startswith("127.0.0.1:") for address in addresses)
    assert all(texts[1] == "é" for texts in found.values())


WORKER_1_FAILS = """
import json, os, sys, time
if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 1:
    {ending}
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("ending", "status", "how"),
    [
        ("sys.exit(3)", 3, "failed with status 3"),
        ("raise KeyError('x')", 1, "failed with status 1"),
        ("os.kill(os.getpid(), 9)", 137, "was ended by SIGKILL"),
    ],
)
def test_when_one_fails_the_others_are_ended(ending, status, how):
    found, lines = launched(WORKER_1_FAILS.format(ending=ending))
    assert found == status
    assert f"[launch] worker 1 {how}: ending the others" in lines


def test_a_worker_that_does_not_end_is_killed():
    stubborn = "import signal; signal.signal(signal.SIGTERM, lambda *_: print('no'))\n"
    found, lines = launched(stubborn + WORKER_1_FAILS.format(ending="time.sleep(0.5); sys.exit(3)"), grace=0.3)
    assert found == 3
    assert "[0] no" in lines


def test_a_worker_s_own_child_ends_with_it():
    """It holds the pipe that the launcher reads from."""
    began = time.monotonic()
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    status, _ = launched(child + "sys.exit(4)", workers=1)
    assert status == 4
    assert time.monotonic() - began < 60


SAVES = """
import signal, sys, time
def save(*_):
    print("saved"); sys.exit(75)
signal.signal(signal.SIGTERM, save)
print("ready"); time.sleep(600)
"""


def test_sigterm_is_passed_on_and_the_workers_status_back():
    command = [sys.executable, "-m", "mtl_keras.distribute.launch", "--workers", "2", "--"]
    process = subprocess.Popen(
        [*command, sys.executable, "-c", SAVES], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ)
    )
    lines = [process.stdout.readline(), process.stdout.readline()]
    assert sorted(lines) == ["[0] ready\n", "[1] ready\n"]
    stuck = threading.Timer(60, process.kill)
    stuck.start()
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate()
    stuck.cancel()
    assert process.returncode == 75
    assert {"[0] saved", "[1] saved"} <= set(rest.splitlines())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--workers", "0", "--", "python"], "--workers must be at least 1, not 0"),
        (["--workers", "2", "--"], "no program: write it after --"),
        (["--workers", "2", "--", "no-such-program"], "no program 'no-such-program' on the path"),
        (["--hosts", "a:1,b", "--index", "0", "--", "python"], "addresses are host:port, not 'b'"),
        (["--hosts", "a:1,b:1", "--", "python"], "--index must be from 0 to 1, not None"),
        (["--hosts", "a:1,b:1", "--index", "2", "--", "python"], "--index must be from 0 to 1, not 2"),
    ],
)
def test_wrong_usage(arguments, text, capsys):
    with pytest.raises(SystemExit) as ended:
        launch.main(arguments)
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_one_of_several_machines_becomes_the_program():
    command = ["--hosts", "a:1,b:2", "--index", "1", "--", sys.executable, "-c"]
    found = subprocess.run(
        [sys.executable, "-m", "mtl_keras.distribute.launch", *command, "import os; print(os.environ['TF_CONFIG'])"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert json.loads(found.stdout) == {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
