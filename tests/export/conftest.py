"""What is exported once for all tests of this folder: a model with one task of every kind, and one in every preset."""

from importlib.util import find_spec

import exported
import pytest
from export_graphs import batch, several_kinds

from mtl_keras.cli import main
from mtl_keras.export import litert
from mtl_keras.export._presets import PRESETS


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> exported.Shop:
    return exported.export_shop(tmp_path_factory.mktemp("versions") / "shop")


@pytest.fixture(scope="session")
def in_presets(tmp_path_factory):
    """The graph of several kinds, the folder with its `<preset>.tflite` files, and the inputs that calibrate them."""
    model = several_kinds()
    folder, inputs = tmp_path_factory.mktemp("presets"), batch(model, 12)
    for name, preset in PRESETS.items():
        if preset.recipe and find_spec("ai_edge_quantizer") is None:
            continue
        litert(model, folder / f"{name}.tflite", name, calibration=inputs, examples=12)
    return model, folder, inputs


@pytest.fixture
def command(capsys):
    """Run `mtl-keras` with arguments; gives exit status, output and error output."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return end.value.code or 0, printed.out, printed.err

    return run
