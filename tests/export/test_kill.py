"""An export that is killed leaves the old artefacts or the whole new one, never half of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import killed


def test_killed_exports_leave_nothing_half(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, killed.__file__, str(tmp_path), "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["looks"] > 50
    assert found["versions"] >= 1
    # the killed ones left their hidden work behind, which is in nobody's way
    assert sum(name.startswith(".unfinished-") for name in os.listdir(tmp_path)) >= 1
