"""`python -m pipelines.multi_fashion`: see --help."""

from mtl_keras.cli.ending import ending_with_message
from mtl_keras.quiet import import_tensorflow

if __name__ == "__main__":
    import_tensorflow()
    from pipelines.multi_fashion.pipeline import main

    with ending_with_message("pipelines.multi_fashion"):
        main()
