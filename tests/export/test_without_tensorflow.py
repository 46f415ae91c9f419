"""A machine that only runs .tflite files needs NumPy and ai-edge-litert, and Pillow for image files; nothing else."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mtl_keras.export import Predictor

SCRIPT = """
import sys

ALLOWED = {allowed!r}


class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top.startswith("_") or top in ALLOWED:
            return None
        raise ModuleNotFoundError(f"blocked: {{name}}", name=name)


before = set(sys.modules)
sys.meta_path.insert(0, Blocked())
import mtl_keras as mtl

answer = mtl.export.Predictor({folder!r}).predict({image})
print(answer["zest"].label, answer["price"].value, answer["tags"].labels)
tops = {{name.split(".")[0] for name in set(sys.modules) - before}}
print(*sorted(tops & set(ALLOWED)))
"""
ARRAYS = ["ai_edge_litert", "mtl_keras", "numpy"]


@pytest.mark.parametrize(("image", "allowed"), [("image.npy", ARRAYS), ("image.png", ["PIL", *ARRAYS])])
def test_predictor_imports_nothing_else(shop, tmp_path, image, allowed):
    np.save(tmp_path / "image.npy", shop.images[0])
    Image.fromarray(shop.images[0]).save(tmp_path / "image.png")
    path = str(tmp_path / image)
    given = repr(path) if image.endswith("png") else f"__import__('numpy').load({path!r})"
    script = SCRIPT.format(allowed=allowed, folder=str(shop.folder), image=given)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, modules = done.stdout.splitlines()
    expected = Predictor(shop.folder).predict(shop.images[0])
    assert said == f"{expected['zest'].label} {expected['price'].value} {expected['tags'].labels}"
    assert modules.split() == allowed
    assert done.stderr == ""
