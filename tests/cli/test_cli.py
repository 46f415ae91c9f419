"""The command line: what is printed, and how each command ends."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tiny

import mtl_keras as mtl
from mtl_keras import heads, sharing, trunks, weightings
from mtl_keras.cli import main
from mtl_keras.export import Manifest


def run(capsys, *arguments):
    """Exit status, output and error output of `mtl-keras`."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return end.value.code or 0, printed.out, printed.err


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A compiled model as a .keras file, and arrays for it."""
    folder = tmp_path_factory.mktemp("cli")
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES, metrics={"a": ["accuracy"], "b": ["mae"]}, weighting="uncertainty")
    model.save(folder / "model.keras")
    x, y = tiny.arrays()
    np.savez(folder / "data.npz", image=x, **y)
    return model, folder, (x, y)


@pytest.mark.parametrize(
    ("kind", "package"), [("weightings", weightings), ("heads", heads), ("trunks", trunks), ("sharing", sharing)]
)
def test_list_has_a_row_for_every_registered_name(capsys, kind, package):
    status, out, _ = run(capsys, "list", kind)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == package.names()


def test_list_tells_what_a_weighting_keeps(capsys):
    _, out, _ = run(capsys, "list", "weightings")
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert " K " in rows["uncertainty"]
    assert " K×P + K " in rows["dbmtl"]
    assert "Kendall" in rows["uncertainty"]


def test_list_tells_what_a_weighting_needs(capsys):
    _, out, _ = run(capsys, "list", "weightings")
    begin, end = (out.splitlines()[0].index(column) for column in ("needs", "state"))
    needs = {line.split()[0]: line[begin:end].strip() for line in out.splitlines()[1:]}
    assert needs["equal"] == "losses"
    assert needs["nash_mtl"] == "Gramian"
    assert needs["graddrop"] == "Jacobian"
    assert needs["famo"] == "losses above 0, second forward pass"
    assert needs["modo"] == "Gramian, batches in two halves"
    assert needs["auto_lambda"] == "losses, weighting_data"


def test_inspect_counts_shared_and_task_parameters(capsys, saved):
    model, folder, _ = saved
    status, out, _ = run(capsys, "inspect", folder / "model.keras")
    shared = sum(layer.count_params() for layer in model.layers if layer.name not in ("a", "b"))
    lines = out.splitlines()
    assert status == 0
    assert lines[0] == f"{model.name}: {shared + 54:,} parameters, {shared:,} of them shared"
    assert lines[1] == "cut: dense [batch, 8]"
    # a head of 5 classes on 8 features, and one number: 8 * 5 + 5 and 8 + 1
    assert [line.split()[0::4] for line in lines[3:]] == [["a", "45"], ["b", "9"]]


def test_evaluate_prints_what_evaluate_returns(capsys, saved):
    model, folder, (x, y) = saved
    status, out, _ = run(capsys, "evaluate", folder / "model.keras", folder / "data.npz", "--json")
    expected = model.evaluate(x, y, return_dict=True, verbose=0, batch_size=128)
    found = json.loads(out)
    assert status == 0
    assert found.pop("overall") is None  # an error has no reference to compare with
    assert found == pytest.approx(expected, rel=1e-5)
    _, out, _ = run(capsys, "evaluate", folder / "model.keras", folder / "data.npz")
    assert out.splitlines()[1].split() == [
        "a",
        "accuracy",
        f"{expected['a_accuracy']:.4f}",
        f"{expected['a_loss']:.4f}",
    ]


def test_export_writes_a_new_version_each_time(capsys, saved, tmp_path):
    _, folder, _ = saved
    for version in ("1", "2"):
        status, out, _ = run(capsys, "export", folder / "model.keras", "--out", tmp_path / "v", "--scale", "0.5")
        assert status == 0
        assert out.splitlines()[-1] == f"Written to {tmp_path / 'v' / version}"
    assert Manifest.read(tmp_path / "v" / "2").preprocessing["before"] == {"image": {"scale": 0.5}}


def test_wrong_input_ends_with_its_message_and_status_1(capsys, saved, tmp_path):
    _, folder, _ = saved
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 but no more")
    status, out, err = run(capsys, "inspect", tmp_path / "none.keras")
    assert (status, out) == (1, "")
    assert err == (
        f"mtl-keras: Expected a .keras file. Received: path='{tmp_path}/none.keras'. "
        "Do save the model with model.save('name.keras').\n"
    )
    status, _, err = run(capsys, "inspect", tmp_path / "broken.keras")
    assert status == 1
    assert err == (
        f"mtl-keras: Expected a .keras file that is whole. Received: path='{tmp_path}/broken.keras'. "
        "Do save or copy it again.\n"
    )
    with zipfile.ZipFile(tmp_path / "broken.keras", "w") as file:
        file.writestr("config.json", "{")
    status, _, err = run(capsys, "inspect", tmp_path / "broken.keras")
    assert status == 1
    assert err.startswith(
        f"mtl-keras: Expected a .keras file that loads. Received: path='{tmp_path}/broken.keras', error="
    )
    (tmp_path / "labels.csv").write_text("image,colour\n1.jpg,red\n")
    status, _, err = run(capsys, "evaluate", folder / "model.keras", tmp_path / "labels.csv")
    assert status == 1
    assert err.startswith(
        "mtl-keras: Expected an .npz file of arrays, or the config.yaml of a training run. Received: "
    )
    assert err.endswith("Do write arrays with numpy.savez; for photos that a CSV file labels, see mtl-keras train.\n")
    np.savez(tmp_path / "other.npz", picture=np.zeros((2, 8, 8, 1)))
    status, _, err = run(capsys, "evaluate", folder / "model.keras", tmp_path / "other.npz")
    assert status == 1
    assert err == (
        "mtl-keras: Expected arrays for the inputs ['image']. Received: "
        f"path='{tmp_path}/other.npz', missing=['image'], arrays=['picture']. Do add them.\n"
    )


def test_files_of_another_kind_are_named(capsys, saved, tmp_path):
    _, folder, _ = saved
    inputs, outputs = tiny.graph()
    keras.Model(inputs, list(outputs.values())).save(tmp_path / "list.keras")
    (tmp_path / "cut.npz").write_bytes((folder / "data.npz").read_bytes()[:300])
    for path in (tmp_path, folder / "data.npz", "model.tflite"):
        assert run(capsys, "inspect", path) == (
            1,
            "",
            f"mtl-keras: Expected a .keras file or a CSV file. Received: path={str(path)!r}. Do choose one.\n",
        )
    unnamed = "mtl-keras: Expected a model with dict outputs. Received: outputs='list'. Do build it with outputs="
    assert run(capsys, "inspect", tmp_path / "list.keras")[2].startswith(unnamed)
    status, _, err = run(capsys, "export", tmp_path / "list.keras", "--out", tmp_path / "versions")
    assert status == 1
    assert err.startswith(unnamed)
    assert not list(tmp_path.glob("versions/*"))
    status, _, err = run(capsys, "evaluate", folder / "model.keras", tmp_path / "cut.npz")
    assert status == 1
    assert err.startswith(
        "mtl-keras: Expected an .npz file of arrays, or the config.yaml of a training run. Received: "
    )
    status, _, err = run(capsys, "export", folder / "model.keras", "--out", "/proc/versions")
    assert status == 1
    assert err.startswith("mtl-keras: Expected a folder to write to. Received: path='/proc/versions', error=")


def test_a_plain_model_cannot_be_evaluated(capsys, saved, tmp_path):
    _, folder, _ = saved
    inputs, outputs = tiny.graph()
    keras.Model(inputs, outputs).save(tmp_path / "plain.keras")
    status, _, err = run(capsys, "evaluate", tmp_path / "plain.keras", folder / "data.npz")
    assert status == 1
    assert err.startswith("mtl-keras: Expected a MultiTaskModel that was saved compiled. Received: path=")


def test_wrong_usage_ends_with_status_2(capsys):
    assert run(capsys, "list", "nonsense")[0] == 2
    assert run(capsys, "nonsense")[0] == 2


def test_help_needs_no_tensorflow():
    code = "import sys; from mtl_keras.cli import main\ntry: main(['export', '--help'])\n"
    code += "finally: print(sorted({m.split('.')[0] for m in sys.modules} & {'tensorflow', 'keras'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Export a .keras model" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_fresh_process_loads_every_class_a_model_holds(tmp_path):
    """The library registers them when it is imported, whichever part of it comes first."""
    kinds = [heads.Classifier(3), heads.MultiLabel(2), heads.Regressor(), heads.Ordinal(3)]
    tasks = [mtl.Task(head.kind, head) for head in kinds]
    model = mtl.build(keras.Input((8, 8, 1)), sharing.Hard(trunks.Conv((2,))), tasks)
    model.compile("sgd", weighting="uncertainty")
    model.save(tmp_path / "model.keras")
    code = "import keras, mtl_keras.models; print(keras.models.load_model('model.keras').weighting.name)"
    environment = {"PYTHONPATH": str(tiny.ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True, env=environment)
    assert done.stdout.strip() == "uncertainty"
