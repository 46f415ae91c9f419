"""A machine that only runs .tflite files needs NumPy and ai-edge-litert, nothing else."""

import subprocess
import sys

import numpy as np

SCRIPT = """
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(f"blocked: {{name}}")


sys.meta_path.insert(0, Blocked())
before = set(sys.modules)
import numpy as np
import mtl_keras as mtl

predictor = mtl.export.Predictor({folder!r})
answer = predictor.predict(np.load({image!r}))
print(answer["zest"].label, round(answer["price"].value, 3), answer["tags"].labels)
tops = {{name.split(".")[0] for name in set(sys.modules) - before}}
print(*sorted(name for name in tops if name not in sys.stdlib_module_names and not name.startswith("_")))
"""
BLOCKED = ("tensorflow", "keras", "absl", "h5py", "matplotlib", "PIL", "typer", "rich", "google")


def test_predictor_imports_numpy_and_litert_only(shop, tmp_path):
    np.save(tmp_path / "image.npy", shop.images[0])
    script = SCRIPT.format(names=BLOCKED, folder=str(shop.folder), image=str(tmp_path / "image.npy"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers, modules = done.stdout.splitlines()
    label = ["sour", "bitter", "sweet", "mild"][shop.expected["zest"][0].argmax()]
    price = round(float(shop.expected["price"][0, 0]), 3)
    assert answers.startswith(f"{label} {price}")
    assert modules.split() == ["ai_edge_litert", "mtl_keras", "numpy"]
    assert done.stderr == ""
