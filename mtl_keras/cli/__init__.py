"""The command `mtl-keras`: one file for each subcommand.

These files import TensorFlow, Keras and the library inside their functions: `--help` and wrong usage answer at once.
"""

from mtl_keras.cli.main import main

__all__ = ["main"]
