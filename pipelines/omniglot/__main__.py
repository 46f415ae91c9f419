"""`python -m pipelines.omniglot`: see --help."""

from mtl_keras.cli.ending import ending_with_message
from mtl_keras.quiet import import_tensorflow

if __name__ == "__main__":
    import_tensorflow()
    from pipelines.omniglot.pipeline import main

    with ending_with_message("pipelines.omniglot"):
        main()
