"""What a trunk is: stages of layers that turn an input into features."""

from collections.abc import Callable
from typing import Any

from mtl_keras.registry import Registry

Stage = Callable[[Any], Any]


class Trunk:
    """Layers from an input to features, made of stages.

    `stages(name)` returns new layers each time it is called, so that an architecture can have several copies of the
    same trunk, exchange features between them after every stage, or read earlier stages for dense outputs.
    """

    registered_name: str | None = None

    def stages(self, name: str = "trunk") -> list[Stage]:
        """New stages in order; each maps a KerasTensor to a KerasTensor. Layer names begin with `<name>_`."""
        raise TypeError(f"{type(self).__name__} is no complete trunk: define stages")

    def __call__(self, inputs: Any, name: str = "trunk") -> Any:
        """Run all stages in turn."""
        features = inputs
        for stage in self.stages(name):
            features = stage(features)
        return features

    def preprocessing(self) -> dict[str, Any]:
        """What happens to pixels inside the trunk, for the manifest; plain JSON types only."""
        return {"in_graph": "none"}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, plain JSON types only."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Trunk":
        return cls(**config)


registry = Registry("trunk", Trunk)
register = registry.register
