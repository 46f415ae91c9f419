"""`python -m mtl_keras.cli`: the command without an installation."""

from mtl_keras.cli.main import main

if __name__ == "__main__":
    main()
