"""`python -m pipelines.multi_fashion`: see --help."""

from pipelines.multi_fashion.pipeline import main

if __name__ == "__main__":
    main()
