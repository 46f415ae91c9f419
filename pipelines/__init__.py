"""Pipelines: one folder per real data set, each a readable `model.fit` script."""
