"""Packages that only some exports need."""

from importlib.util import find_spec

from mtl_keras.errors import message


def needs(extra: str, *packages: str) -> None:
    """Raise unless these packages, of the extra of that name, are there.

    Example:
        >>> needs("onnx", "keras")
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ValueError(
            message(f"the packages of the extra {extra!r}", f"pip install 'mtl_keras[{extra}]'", missing=missing)
        )
