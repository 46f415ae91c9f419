"""Pipelines run as users run them."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _as_users_run_them(optimised_graphs):
    """With graphs that TensorFlow optimises."""
