"""Pipelines run as users run them."""

import pytest


@pytest.fixture
def sizes_left_out(monkeypatch):
    """Without files of each task alone, which `test_multi_fashion_run.py` has written and compared."""
    monkeypatch.setattr("mtl_keras.finished_run.compare_with_single_tasks", lambda model: (None, None))


@pytest.fixture(scope="module", autouse=True)
def _as_users_run_them(optimised_graphs):
    """With graphs that TensorFlow optimises."""
