"""Measurements that anyone can rerun: `python -m benchmarks.<name>`; results go to `benchmarks/results`."""
