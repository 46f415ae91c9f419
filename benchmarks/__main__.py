"""`python -m benchmarks`: every measurement, or those that are named."""

import importlib
import pkgutil
import sys

import benchmarks

names = sys.argv[1:] or sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__))
for name in names:
    module = importlib.import_module(f"benchmarks.{name}")
    if hasattr(module, "main"):
        print(f"\n== {name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        module.main([])
