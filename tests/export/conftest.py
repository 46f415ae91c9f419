"""The model with one task of every kind, exported once for all tests of this folder."""

import exported
import pytest


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> exported.Shop:
    return exported.export_shop(tmp_path_factory.mktemp("versions") / "shop")
