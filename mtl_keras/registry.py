"""A registry that creates and lists: one for weightings, one each for heads, trunks and sharing."""

from collections.abc import Callable
from typing import Any

import keras

from mtl_keras.errors import message

PACKAGE = "mtl_keras"


class Registry:
    """Names of one kind of object, and the way from a name, config or instance to the instance.

    Args:
        kind: What the entries are, as used in error messages, e.g. `"weighting"`.
        base: The class that every entry inherits from.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.get("Uncertainty").name
        'uncertainty'
    """

    def __init__(self, kind: str, base: type):
        self.kind = kind
        self.base = base
        self._classes: dict[str, type] = {}

    def register(self, name: str) -> Callable[[type], type]:
        """Class decorator: list the class under `name` and make it loadable from saved models."""

        def decorate(cls: type) -> type:
            if name in self._classes:
                raise ValueError(message(f"a {self.kind} name that is free", "choose another name", name=name))
            self._classes[name] = cls
            cls.registered_name = name  # type: ignore[attr-defined]
            return keras.saving.register_keras_serializable(package=PACKAGE)(cls)

        return decorate

    def names(self) -> list[str]:
        """The registered names, sorted."""
        return sorted(self._classes)

    def cls(self, name: str) -> type:
        """The class behind `name`; case, `_` and `-` do not matter."""
        for known, cls in self._classes.items():
            if _plain(name) in (_plain(known), _plain(cls.__name__)):
                return cls
        raise ValueError(
            message(f"the name of a {self.kind}", f"choose one of {', '.join(self.names())}", **{self.kind: name})
        )

    def get(self, identifier: Any) -> Any:
        """Return an instance from a name, a config dict made by `serialize`, or an instance.

        Raises:
            ValueError: The name is not registered.
            TypeError: `identifier` is none of the three.
        """
        if isinstance(identifier, self.base):
            return identifier
        if isinstance(identifier, str):
            return self.cls(identifier)()
        if isinstance(identifier, dict):
            return keras.saving.deserialize_keras_object(identifier)
        raise TypeError(
            message(f"a {self.kind} name, config or instance", f"see {self.kind} names", **{self.kind: identifier})
        )


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
