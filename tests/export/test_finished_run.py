"""A run that can be taken up leaves one version, also when it is killed right after the version has appeared."""

import dataclasses

import keras
import pytest
import tiny

from mtl_keras import finished_run
from mtl_keras.export import Manifest, _version
from mtl_keras.finished_run import FinishedRun


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the library catches it."""


def test_killed_after_its_version_appeared_a_run_writes_no_second_one(tmp_path, monkeypatch, capsys):
    model, (x, y) = tiny.model(), tiny.arrays(4)
    model.compile(keras.optimizers.SGD(0.1), loss=tiny.LOSSES)
    logs = model.evaluate(x, y, return_dict=True, verbose=0)
    history, output = {"loss": [2.0, 1.0]}, tmp_path / "versions"
    run = FinishedRun("Title", model, history, 1.0, logs, (x, y), None, {}, resume=tmp_path / "run")
    appear = _version.become_next_version

    def appear_and_die(*arguments):
        raise Killed(appear(*arguments))

    # pictures and comparisons are no matter of this test
    monkeypatch.setattr(finished_run, "compare_with_single_tasks", lambda model: (None, None))
    monkeypatch.setattr(finished_run, "draw_predictions", lambda *arguments: None)
    monkeypatch.setattr(finished_run, "draw_training", lambda *arguments: None)
    monkeypatch.setattr(_version, "become_next_version", appear_and_die)
    with pytest.raises(Killed) as killed:
        run.write(output)
    version = output / "1"
    assert killed.value.args == (version,)
    name = (tmp_path / "run" / "checkpoints" / "run_id").read_text()
    assert len(name) == 32
    assert Manifest.read(version).run == f"{name}:2"

    wanted = []
    monkeypatch.setattr(finished_run, "write_version", lambda *_, run, **more: wanted.append(run) or version)
    capsys.readouterr()
    assert run.write(output) == version
    said = f"This run is in {version} already; remove that folder to have it written again.\n"
    assert (capsys.readouterr().out, wanted) == (said, [])
    assert [path.name for path in output.iterdir()] == ["1"]

    # more epochs, another run, a run that cannot be taken up, another place
    dataclasses.replace(run, history={"loss": [2.0, 1.0, 0.5]}).write(output)
    dataclasses.replace(run, resume=tmp_path / "other").write(output)
    dataclasses.replace(run, resume=None).write(output)
    run.write(tmp_path / "elsewhere")
    other = (tmp_path / "other" / "checkpoints" / "run_id").read_text()
    assert other != name
    assert wanted == [f"{name}:3", f"{other}:2", None, f"{name}:2"]
    # a version that lost a file is none
    (version / "model.tflite").unlink()
    run.write(output)
    assert wanted[4:] == [f"{name}:2"]
