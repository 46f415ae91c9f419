"""Everything that a training run consists of at one moment: variables, callbacks, random numbers, settings."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtl_keras.callbacks.plain import Arrays, copied, is_plain, packed, same, unpacked
from mtl_keras.training.slots import optimizer_slots

# what Keras gives to every callback
_NOT_STATE = {"model", "_model", "params", "validation_data"}


class Variables:
    """All variables of a compiled model, each under a name that is the same in every process that builds it.

    Weights and the weighting's state go by path, the optimizer's by what they belong to, the states of random number
    generators by layer and metrics by log key, as Keras numbers those through a process.
    """

    def __init__(self, model: Any):
        self._strategy = model.distribute_strategy
        self._named: dict[str, keras.Variable] = {}
        for variable in model.weights:
            self._add(variable.path, variable)
        known = {id(variable) for variable in model.weights}
        for layer in model.layers:
            for variable in layer.variables:
                if id(variable) not in known:
                    self._add(f"{layer.name}/random", variable)
        for name, variable in model.plan.participation.variables.items():
            self._add(f"participation/{name}", variable)
        self._of_optimizer = {id(variable) for variable in model.optimizer.variables}
        for slot in optimizer_slots(model.optimizer, model.trainable_variables):
            self._add("/".join(filter(None, ["optimizer", slot.part, slot.owner, slot.kind])), slot.variable)
        for i, metric in enumerate(model.metrics):
            for variable in metric.variables:
                self._add(f"metrics/{i}/{variable.name}", variable)

    def _add(self, name: str, variable: keras.Variable) -> None:
        number = 2
        unique = name
        while unique in self._named:
            unique, number = f"{name}#{number}", number + 1
        self._named[unique] = variable

    def description(self) -> dict[str, str]:
        """`{name: dtype and shape}`."""
        return {name: f"{v.dtype} {list(v.shape)}" for name, v in self._named.items()}

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name by index and value, one after the other."""
        for i, variable in enumerate(self._named.values()):
            yield f"v{i}", self._value(variable)

    def values_of_metrics(self) -> dict[str, np.ndarray]:
        """What evaluation is going to overwrite, as `arrays` gives it."""
        named = enumerate(self._named.items())
        return {f"v{i}": self._value(variable) for i, (name, variable) in named if name.startswith("metrics/")}

    def assign(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        for i, variable in enumerate(self._named.values()):
            value = arrays[f"v{i}"]
            if self._is_mirrored(variable):
                variable.assign(value)
                continue
            parts = self._parts(variable)
            values = value if value.ndim > len(variable.shape) else [value] * len(parts)
            for part, of_replica in zip(parts, values, strict=True):
                part.assign(of_replica)

    def _value(self, variable: keras.Variable) -> np.ndarray:
        """The value, or one for each replica where they differ."""
        if self._is_mirrored(variable):
            return keras.ops.convert_to_numpy(variable)
        parts = [part.numpy() for part in self._parts(variable)]
        return parts[0] if all(same(parts[0], part) for part in parts[1:]) else np.stack(parts)

    def _is_mirrored(self, variable: keras.Variable) -> bool:
        """Whether replicas are kept alike. Metrics are not, and neither are the means of batch normalization."""
        return variable.trainable or id(variable) in self._of_optimizer

    def _parts(self, variable: keras.Variable) -> Sequence[Any]:
        return self._strategy.experimental_local_results(variable.value)


class Callbacks:
    """What callbacks remember: all plain attributes that have changed since training began.

    So settings, which do not change, are always those of the program that runs now. A callback may name the attributes
    that make up its state in `state_attributes`; an empty tuple means that it has none.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]):
        """Call it when training has begun for all of them, and nothing has happened yet."""
        self._named: dict[str, keras.callbacks.Callback] = {}
        for callback in callbacks:
            kind = type(callback).__name__
            count = sum(name.startswith(f"{kind}#") for name in self._named)
            self._named[f"{kind}#{count}"] = callback
        self._fresh = {name: copied(_attributes(callback)) for name, callback in self._named.items()}

    def state(self, arrays: Arrays) -> dict[str, Any]:
        """What has changed, as JSON; arrays go into `arrays`."""
        return {
            name: {
                key: packed(value, arrays, "c")
                for key, value in _attributes(callback).items()
                if key not in self._fresh[name] or not same(value, self._fresh[name][key])
            }
            for name, callback in self._named.items()
        }

    def restore(self, state: Mapping[str, Any], arrays: Arrays) -> list[str]:
        """Take over what `state` gave; returns the names of callbacks that are no longer there."""
        for name, callback in self._named.items():
            changed = {key: unpacked(value, arrays) for key, value in state.get(name, {}).items()}
            for key, value in {**copied(self._fresh[name]), **changed}.items():
                _set(callback, key, value)
        return [name for name, changed in state.items() if changed and name not in self._named]


def _attributes(callback: keras.callbacks.Callback) -> dict[str, Any]:
    chosen = getattr(callback, "state_attributes", None)
    return {
        key: value
        for key, value in vars(callback).items()
        if key not in _NOT_STATE and (chosen is None or key in chosen) and is_plain(value)
    }


def _set(callback: keras.callbacks.Callback, key: str, value: Any) -> None:
    """Set an attribute; a dict or list stays the same object, as others may hold it too."""
    current = getattr(callback, key, None)
    if isinstance(current, dict) and isinstance(value, dict):
        current.clear()
        current.update(value)
    elif isinstance(current, list) and isinstance(value, list):
        current[:] = value
    else:
        setattr(callback, key, value)


def random_numbers() -> dict[str, Any]:
    """The states of Python's and numpy's global random numbers."""
    return {"python": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002


def restore_random_state(state: Any, arrays: Arrays) -> None:
    """Take over what `random_numbers` gave, packed."""
    found = unpacked(state, arrays)
    random.setstate(found["python"])
    np.random.set_state(found["numpy"])  # noqa: NPY002


def settings(model: Any) -> dict[str, Any]:
    """How the model was compiled, as flat JSON; what cannot be written down is left out."""
    found: dict[str, Any] = {"replicas": model.distribute_strategy.num_replicas_in_sync}
    try:
        config = model.get_compile_config() or {}
    except (TypeError, ValueError):  # a function without a name, as a loss
        config = {"weighting": keras.saving.serialize_keras_object(model.weighting)}
    _flatten(config, "", found)
    return found


def _flatten(config: Any, prefix: str, found: dict[str, Any]) -> None:
    items = enumerate(config) if isinstance(config, (list, tuple)) else config.items()
    for key, value in items:
        # Keras numbers objects through a process, and keeps where a class came from
        if key in ("name", "module", "registered_name", "build_config"):
            continue
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, (Mapping, list, tuple)):
            _flatten(value, path, found)
        elif value is None or isinstance(value, (str, int, float)):
            found[path] = value


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs, one line each: in the file, and here."""
    lines = [f"{name}: {there[name]} in the file, not here" for name in there if name not in here]
    lines += [f"{name}: {here[name]} here, not in the file" for name in here if name not in there]
    both = [name for name in there if name in here and not same(there[name], here[name])]
    return lines + [f"{name}: {there[name]} in the file, {here[name]} here" for name in both]
