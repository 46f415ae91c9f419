"""The model with one task of every kind, exported once for all tests of this folder."""

import exported
import pytest

from mtl_keras.cli import main


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> exported.Shop:
    return exported.export_shop(tmp_path_factory.mktemp("versions") / "shop")


@pytest.fixture
def command(capsys):
    """Run `mtl-keras` with arguments; gives exit status, output and error output."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return end.value.code or 0, printed.out, printed.err

    return run
