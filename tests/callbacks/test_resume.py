"""A run that ends early and is started again ends as if nothing had happened; what would break that is refused."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest
import tiny
from ended_early import EPOCHS, STEPS, Interrupt, assert_alike, reducing, run, shuffled

import mtl_keras as mtl
from mtl_keras.callbacks import checkpoints
from mtl_keras.callbacks.checkpoints import CheckpointFolder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that is never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return (*run(folder, callbacks=reducing()), folder)


@pytest.fixture(scope="module")
def stump(tmp_path_factory):
    """The folder of a run that was interrupted in its third epoch."""
    folder = tmp_path_factory.mktemp("stump")
    assert run(folder, Interrupt(2 * STEPS + 2), callbacks=reducing()) is None
    return folder


@pytest.fixture
def interrupted(stump, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(stump, tmp_path / "run"))


def test_killed_processes_end_as_one_that_is_not(tmp_path):
    """SIGKILL at random batches and steps on files, on one replica and on two."""
    script = [sys.executable, tiny.ROOT / "tests" / "callbacks" / "killed_run.py", tmp_path, "2", "5"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tiny.ROOT), str(tiny.ROOT / "tests")])}
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["replicas"] for result in results] == [1, 2]
    for result in results:
        assert result["kills"] == 2
        assert result["differing"] == []
        assert result["rate"] == pytest.approx(0.02 * 0.5**3)  # of a plateau in every epoch after the first
        assert result["left"] == [
            "checkpoint-000003-000000004.npz", "checkpoint-000004-000000000.npz", "history.csv", "lock", "lock.holder",
        ]  # fmt: skip


@pytest.mark.parametrize(("every", "steps"), [(None, [7, 4]), (2, [3, 8])])
def test_interrupted_runs_end_as_one_that_is_not(tmp_path, capfd, monkeypatch, whole, every, steps):
    """The clock too may jump in between."""
    for step in steps:
        assert run(tmp_path, Interrupt(step), callbacks=reducing(), every=every) is None
    monkeypatch.setattr(time, "time", lambda: 0.0)  # back to 1970
    assert_alike(run(tmp_path, callbacks=reducing(), every=every), whole[:2])
    notes = [line.split("going on ")[1] for line in capfd.readouterr().err.splitlines() if "going on" in line]
    assert notes == (
        ["after 1 epochs", "after 1 epochs"]
        if every is None
        else ["after 0 epochs and 2 steps", "after 1 epochs and 2 steps"]
    )
    assert (tmp_path / "history.csv").read_text() == (whole[2] / "history.csv").read_text()


def test_the_logs_are_a_table(whole):
    history, folder = whole[1:]
    header, *rows = (folder / "history.csv").read_text().splitlines()
    keys = header.split(",")
    assert set(keys) == {"epoch", *history.history}
    for epoch, row in enumerate(rows):
        fields = dict(zip(keys, map(float, row.split(",")), strict=True))
        assert fields.pop("epoch") == epoch
        assert fields == {key: values[epoch] for key, values in history.history.items()}
    assert len(rows) == EPOCHS


def test_a_finished_run_is_not_trained_again_and_a_longer_one_goes_on(tmp_path, whole):
    run(tmp_path, epochs=2, callbacks=reducing())
    seen = Interrupt(1)
    again = run(tmp_path, seen, epochs=2, callbacks=reducing())
    assert seen.seen == 0
    assert again[1].epoch == [0, 1]
    assert_alike(run(tmp_path, callbacks=reducing()), whole[:2])


def test_a_stopped_run_stays_stopped(tmp_path):
    """By early stopping, whose best weights come back in the second process too."""

    def stop():
        return [mtl.callbacks.EarlyStopping("b", patience=1, min_delta=10.0)]

    first = run(tmp_path, callbacks=stop())
    assert first[1].epoch == [0, 1]
    seen = Interrupt(1)
    assert_alike(run(tmp_path, seen, callbacks=stop()), first)
    assert seen.seen == 0


def test_a_half_written_checkpoint_is_skipped_with_a_note(interrupted, capfd, whole):
    _, newest = sorted(interrupted.glob("checkpoint-*"))
    newest.write_bytes(newest.read_bytes()[:-100])
    (interrupted / ".unfinished-checkpoint-000003-000000000.npz").write_bytes(b"half")
    assert_alike(run(interrupted, callbacks=reducing()), whole[:2])
    note, going_on = capfd.readouterr().err.splitlines()
    assert note == f"Resume: skipped {newest}, which is damaged (File is not a zip file)"
    assert going_on == f"Resume: {interrupted}: going on after 1 epochs"
    assert sorted(os.listdir(interrupted)) == [
        "checkpoint-000003-000000000.npz", "checkpoint-000004-000000000.npz", "history.csv", "lock", "lock.holder",
    ]  # fmt: skip


def test_a_full_disk_ends_the_run_and_spares_the_last_checkpoint(interrupted, monkeypatch):
    files = {path: path.read_bytes() for path in interrupted.glob("*.*")}
    good = max(interrupted.glob("checkpoint-*"))

    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(OSError, match="Expected") as error:
        run(interrupted, callbacks=reducing())
    assert error.value.errno == errno.ENOSPC
    assert error.value.strerror == (
        f"Expected room for a checkpoint in {interrupted}. Received: error='No space left on device'. "
        f"Do make room and start again: the run goes on from {good.name}."
    )
    assert {path: path.read_bytes() for path in interrupted.glob("*.*")} == files


@pytest.mark.parametrize(
    ("step", "validating", "place"),
    [(2, False, "000002-000000002"), (STEPS, True, "000002-000000005")],
)
def test_sigterm_saves_and_exits_with_its_own_status(interrupted, capfd, whole, step, validating, place):
    def terminate():
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as exit_:
        run(interrupted, Interrupt(step, terminate, validating), callbacks=reducing())
    assert exit_.value.code == mtl.callbacks.Resume.SAVED == 75
    assert signal.getsignal(signal.SIGTERM) == before
    assert (interrupted / f"checkpoint-{place}.npz").is_file()
    note = f"Resume: {interrupted}: saved on SIGTERM; start the same command again to go on"
    assert capfd.readouterr().err.splitlines()[1:] == [note]
    assert_alike(run(interrupted, callbacks=reducing()), whole[:2])


def test_a_folder_has_one_run_at_a_time(tmp_path):
    first = CheckpointFolder(tmp_path, keep=1)
    first.lock()
    tiny.refused(
        lambda: run(tmp_path),
        f"Expected a folder that no other run writes to. Received: folder='{tmp_path}', "
        f"used_by='process {os.getpid()} on {os.uname().nodename}'. "
        "Do wait until that run has ended, or choose another folder.",
    )
    first.unlock()
    assert run(tmp_path, epochs=1) is not None


def test_a_folder_that_cannot_be_written_to_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    seen = Interrupt(1)
    tiny.refused(
        lambda: run(tmp_path / "file" / "resume", seen),
        f"Expected a folder that checkpoints can be written to. Received: folder='{tmp_path}/file/resume', "
        "error='Not a directory'. Do choose another, or give this process the right to write.",
    )
    assert seen.seen == 0


def test_a_checkpoint_of_another_model_is_refused_with_the_differences(interrupted):
    files = {path: path.read_bytes() for path in interrupted.glob("checkpoint-*")}
    model = mtl.MultiTaskModel(*tiny.graph(four=True))
    model.compile(keras.optimizers.SGD(0.01), loss=tiny.FOUR_LOSSES, weighting="dwa")
    x, y = tiny.arrays(40, four=True)
    with pytest.raises(ValueError, match="Expected the model, settings and data") as error:
        model.fit(tiny.dataset(x, y, 8), callbacks=[mtl.callbacks.Resume(interrupted)], verbose=0)
    listed = re.search(r"differences=\[(.*)\]\. Do choose another folder for another run\.", str(error.value))[1]
    for difference in (
        "loss.c: mae here, not in the file",
        "optimizer.config.beta_1: 0.9 in the file, not here",
        "optimizer.config.momentum: 0.0 here, not in the file",
    ):
        assert f"'{difference}'" in listed
    assert re.search(r"'and \d+ more'$", listed)
    assert {path: path.read_bytes() for path in interrupted.glob("checkpoint-*")} == files


def test_other_settings_are_another_run(interrupted):
    for other, difference in (
        (
            {"optimizer": keras.optimizers.Adam(0.02)},
            "optimizer.config.learning_rate: 0.009999999776482582 in the file, 0.019999999552965164 here",
        ),
        ({"data": lambda x, y: shuffled(x, y).take(3)}, "data.batches: 5 in the file, 3 here"),
    ):
        tiny.refused(
            lambda other=other: run(interrupted, **other),
            "Expected the model, settings and data that the run in this folder began with. "
            f"Received: folder='{interrupted}', differences=['{difference}']. "
            "Do choose another folder for another run.",
        )


def test_a_callback_may_leave_but_its_state_is_not_lost_in_silence(interrupted, capfd):
    assert run(interrupted, Interrupt(1)) is None
    gone = "Resume: the checkpoint holds the state of a callback that is not there any more: EarlyStopping"
    assert gone in capfd.readouterr().err.splitlines()
