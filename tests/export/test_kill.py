"""An export that is killed leaves the old artefacts or the whole new one, never half of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import killed

from mtl_keras.export._atomic import workplace


def test_killed_exports_leave_nothing_half(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, killed.__file__, str(tmp_path), "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["looks"] > 50
    assert found["versions"] >= 1
    # the last one that was killed left its hidden work behind, which the next one removes
    assert sum(name.startswith(".unfinished-") for name in os.listdir(tmp_path)) == 1
    with workplace(tmp_path), workplace(tmp_path):  # but not that of a process that lives
        assert sum(name.startswith(".unfinished-") for name in os.listdir(tmp_path)) == 2
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".unfinished-")]
