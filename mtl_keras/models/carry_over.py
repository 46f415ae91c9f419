"""What a model that was taken apart keeps: the optimizer's memory and the weighting's, matched by names."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtl_keras.errors import message
from mtl_keras.optimizers import PerTask
from mtl_keras.tasks import Task
from mtl_keras.training.slots import Slot, optimizer_slots, parts_of
from mtl_keras.weightings import Static, Weighting


def optimizer_like(optimizer: Any, tasks: Sequence[str], added: Mapping[str, Any] | None = None) -> Any:
    """A new optimizer with the settings that another one has now.

    Args:
        optimizer: Any Keras optimizer.
        tasks: The tasks that there are from now on.
        added: Optimizers of tasks that get one of their own, for optimizers of `per_task`.

    Raises:
        ValueError: A task is to get an optimizer of its own, and the optimizer is none of `per_task`.
    """
    plain = getattr(optimizer, "inner_optimizer", optimizer)
    if isinstance(plain, PerTask):
        renewed: Any = plain.with_tasks(tasks, **(added or {}))
    elif added:
        raise ValueError(
            message(
                "an optimizer of optimizers.per_task, for a task to have one of its own",
                "compile with per_task first, or leave optimizer out",
                optimizer=type(plain).__name__,
            )
        )
    else:
        renewed = type(plain).from_config(plain.get_config())
    if plain is optimizer:
        return renewed
    config = {**optimizer.get_config(), "inner_optimizer": keras.saving.serialize_keras_object(renewed)}
    return type(optimizer).from_config(config)


def carry_optimizer(
    old: Any,
    new: Any,
    variables: Sequence[keras.Variable],
    only: set[str] | None = None,
    settings: bool = True,
) -> list[str]:
    """Give a built optimizer what another one remembers, by the path of the variable that it remembers it of.

    Args:
        old, new: The optimizers. Parts of different classes have nothing to say to each other.
        variables: All variables that either of them may train.
        only: Paths of the variables that count, default all.
        settings: Whether learning rates come along too.

    Returns:
        Paths of the variables whose memory came along.
    """
    there = {_key(slot): slot for slot in optimizer_slots(old, variables)}
    carried: dict[str, None] = {}
    for slot in optimizer_slots(new, variables):
        other = there.get(_key(slot))
        if other is None or tuple(other.variable.shape) != tuple(slot.variable.shape):
            continue
        unwanted = only is not None and slot.owner is not None and slot.owner not in only
        if unwanted or _kind(old, other) is not _kind(new, slot) or (slot.kind == "learning_rate" and not settings):
            continue
        slot.variable.assign(keras.ops.convert_to_numpy(other.variable))
        if slot.owner is not None:
            carried[slot.owner] = None
    return list(carried)


def _key(slot: Slot) -> tuple[str | None, str | None, str]:
    """What belongs to a variable is found by it, whichever part looks after it now."""
    return slot.owner, slot.part if slot.owner is None else None, slot.kind


def _kind(optimizer: Any, slot: Slot) -> type:
    return type(parts_of(optimizer).get(slot.part, optimizer))


def weighting_for(method: Weighting, tasks: Sequence[str], added: Task | None = None) -> Weighting:
    """A new weighting with the same settings for other tasks; `static` takes its weights of this moment along.

    Raises:
        ValueError: The settings name every task, and do not say what the added one is to get.
    """
    if isinstance(method, Static):
        weights = {name: weight for name, weight in method.current().items() if name in tasks}
        return Static(weights if added is None else {**weights, added.name: added.weight}, name=method.name)
    before = [task.name for task in method.tasks]
    config = keras.saving.serialize_keras_object(method)
    return keras.saving.deserialize_keras_object(_without(config, before, tasks))


def _without(config: Any, before: Sequence[str], tasks: Sequence[str]) -> Any:
    """A configuration in which dicts by task name have lost those that are gone."""
    if isinstance(config, dict):
        by_task = bool(config) and set(config) == set(before)
        return {k: _without(v, before, tasks) for k, v in config.items() if not by_task or k in tasks}
    return [_without(item, before, tasks) for item in config] if isinstance(config, list) else config


def carry_weighting(old: Weighting, new: Weighting) -> None:
    """What a weighting trains for each task comes along by the task's name; running statistics begin anew."""
    names, now = ([task.name for task in method.tasks] for method in (old, new))
    for mine, other in zip(new.trainable_variables, old.trainable_variables, strict=True):
        if tuple(mine.shape) == (len(now),) and tuple(other.shape) == (len(names),):
            values = np.array(keras.ops.convert_to_numpy(mine))
            known = keras.ops.convert_to_numpy(other)
            for k, name in enumerate(now):
                if name in names:
                    values[k] = known[names.index(name)]
            mine.assign(values)
