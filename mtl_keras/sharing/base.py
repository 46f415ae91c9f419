"""What sharing is: how the tasks share one or several trunks."""

from typing import Any

from mtl_keras.registry import Registry


class Sharing:
    """From the inputs to one features tensor per task."""

    registered_name: str | None = None

    def __call__(self, inputs: Any, task_names: list[str]) -> dict[str, Any]:
        """Inputs (KerasTensor) to `{task name: features (KerasTensor)}`."""
        raise TypeError(f"{type(self).__name__} is no complete sharing: define __call__")

    def preprocessing(self) -> dict[str, Any]:
        """What happens to pixels inside the graph, for the manifest; plain JSON types only."""
        return {"in_graph": "none"}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments; nested trunks as made by `keras.saving.serialize_keras_object`."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Sharing":
        return cls(**config)


registry = Registry("sharing", Sharing)
register = registry.register
