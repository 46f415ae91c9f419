"""Every artefact in a process that has never heard of this library, or of Keras: the same numbers by the same names.

The names of the outputs sort differently from their order, and there are 1, 2, 5 and 40 of them.
"""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from export_graphs import answers, batch, many_tasks, with_heads

from mtl_keras.export import litert, onnx, saved_model

COUNTS = (1, 2, 5, 40)
TOLERANCES = {"float32": 1e-5, "int8": 0.08, "int8_full": 0.08, "int16x8": 0.03}

# what each process runs: it reads the list of artefacts, compares by name, and prints how many outputs it compared
COMMON = """
import json, sys
import numpy as np

sys.modules["mtl_keras"] = None  # cannot be imported, installed or not

def compare(found, expected, tolerance, where):
    for name, value in found.items():
        largest = max(1.0, np.abs(expected[name]).max())
        assert value.shape == expected[name].shape, (where, name, value.shape)
        error = np.abs(value - expected[name]).max() / largest
        assert error <= tolerance, (where, name, error)
    return len(found)

def real(value, detail):
    scale, zero = detail["quantization"]
    return scale * (value.astype("float32") - zero) if scale else value

def stored(value, detail):
    scale, zero = detail["quantization"]
    kind = detail["dtype"]
    if not scale:
        return value
    limits = np.iinfo(kind)
    return np.clip(np.rint(value / scale) + zero, limits.min, limits.max).astype(kind)

compared = 0
for entry in json.load(open(sys.argv[1])):
    inputs, expected = (dict(np.load(entry[part])) for part in ("inputs", "expected"))
    tolerance = entry["tolerance"]
    signatures = {"all_tasks": sorted(expected), **{f"task_{name}": [name] for name in expected}}
"""
LITERT = (
    "from ai_edge_litert.interpreter import Interpreter\n"
    + COMMON
    + """
    interpreter = Interpreter(entry["path"], num_threads=1)
    listed = interpreter.get_signature_list()
    assert {name: sorted(parts["outputs"]) for name, parts in listed.items()} == signatures, listed
    for signature in signatures:
        run = interpreter.get_signature_runner(signature)
        takes, gives = run.get_input_details(), run.get_output_details()
        rows = [run(**{name: stored(value[i : i + 1], takes[name]) for name, value in inputs.items()}) for i in (0, 1)]
        found = {name: real(np.concatenate([row[name] for row in rows]), gives[name]) for name in rows[0]}
        compared += compare(found, expected, tolerance, (entry["path"], signature))
assert not {"tensorflow", "keras"} & set(sys.modules)
print(compared)
"""
)
TENSORFLOW = (
    "import keras\nimport tensorflow as tf\n"
    + COMMON
    + """
    if entry["path"].endswith(".keras"):
        classes = {"mtl_keras>MultiTaskModel": keras.Model}
        model = keras.models.load_model(entry["path"], custom_objects=classes, compile=False)
        found = model(keras.tree.map_structure(lambda tensor: inputs[tensor.name], model.input), training=False)
        found = {name: value.numpy() for name, value in found.items()}
        compared += compare(found, expected, tolerance, entry["path"])
        continue
    loaded = tf.saved_model.load(entry["path"])
    signatures["serving_default"] = signatures["all_tasks"]
    assert sorted(loaded.signatures) == sorted(signatures)
    for signature, names in signatures.items():
        found = loaded.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        assert sorted(found) == names, (signature, sorted(found))
        found = {name: value.numpy() for name, value in found.items()}
        compared += compare(found, expected, tolerance, (entry["path"], signature))
print(compared)
"""
)
ONNX = (
    "import onnxruntime\n"
    + COMMON
    + """
    session = onnxruntime.InferenceSession(entry["path"])
    for name in expected:
        compared += compare({name: session.run([name], inputs)[0]}, expected, tolerance, entry["path"])
assert not {"tensorflow", "keras"} & set(sys.modules)
print(compared)
"""
)


@pytest.fixture(scope="module")
def models(tmp_path_factory, in_presets):
    """`{name: (model, files with inputs and with what the model says)}`."""
    folder = tmp_path_factory.mktemp("expected")
    made = {"kinds": in_presets[0], **{f"tasks{count}": many_tasks(count) for count in COUNTS}, "shop": with_heads()}
    made["shop"].compile("adam", weighting="uncertainty")
    found = {}
    for name, model in made.items():
        inputs = batch(model, 2)
        np.savez(folder / f"{name}_inputs.npz", **inputs)
        np.savez(folder / f"{name}_expected.npz", **answers(model, inputs))
        files = {part: str(folder / f"{name}_{part}.npz") for part in ("inputs", "expected")}
        found[name] = (model, {**files, "tolerance": 1e-5})
    return found


def compared_by(code, entries, folder):
    """How many outputs a process of its own compares; it sees no module but those installed."""
    listing = folder / "artefacts.json"
    listing.write_text(json.dumps(entries))
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(listing)], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


def test_litert_files(models, in_presets, tmp_path):
    kinds, folder = models["kinds"][1], in_presets[1]
    entries = [
        {**kinds, "path": str(folder / f"{preset}.tflite"), "tolerance": tolerance}
        for preset, tolerance in TOLERANCES.items()
    ]
    for name in [f"tasks{count}" for count in COUNTS]:
        model, about = models[name]
        for preset in ["float32", "int8"] if name == "tasks5" else ["float32"]:
            path = tmp_path / f"{name}_{preset}.tflite"
            litert(model, path, preset, calibration=batch(model, 12))
            entries.append({**about, "path": str(path), "tolerance": TOLERANCES[preset]})
    # each output twice: among all, and alone
    outputs = 2 * (4 * 4 + sum(COUNTS) + 5)
    assert compared_by(LITERT, entries, tmp_path) == outputs


def test_saved_models_and_keras_files(models, tmp_path):
    """Of a .keras file the graph is left, an ordinary Keras model: the class and its state are the library's."""
    entries = []
    for name in ("kinds", "tasks1", "tasks5"):
        model, about = models[name]
        saved_model(model, tmp_path / name / "1")
        entries.append({**about, "path": str(tmp_path / name / "1")})
    for name in ("kinds", "shop"):
        model, about = models[name]
        model.save(tmp_path / f"{name}.keras")
        entries.append({**about, "path": str(tmp_path / f"{name}.keras")})
    assert compared_by(TENSORFLOW, entries, tmp_path) == 3 * (4 + 1 + 5) + 4 + 3


@pytest.mark.skipif(find_spec("onnxruntime") is None or find_spec("tf2onnx") is None, reason="needs the extra onnx")
def test_onnx_files(models, tmp_path):
    entries = []
    for name in ("kinds", "tasks2", "tasks5"):
        model, about = models[name]
        onnx(model, tmp_path / f"{name}.onnx")
        entries.append({**about, "path": str(tmp_path / f"{name}.onnx")})
    assert compared_by(ONNX, entries, tmp_path) == 4 + 2 + 5
