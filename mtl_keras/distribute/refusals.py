"""What cannot be had on several replicas, refused at compile with the reason."""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.distribute.replicated_model import BUILDS_FROM_DATA
from mtl_keras.distribute.strategies import checked
from mtl_keras.errors import message


def check_scope(model: keras.Model) -> None:
    """Refuse to compile or train a model in the scope of a strategy that it was not made under.

    Raises:
        ValueError: The model was made under another strategy, or under none.
    """
    strategy = tf.distribute.get_strategy()
    elsewhere = [v.path for v in model.variables if not strategy.extended.variable_created_in_scope(v.value)]
    if tf.distribute.has_strategy() and elsewhere:
        raise ValueError(
            message(
                "a model that was made, or loaded, in the scope of this strategy",
                "put what makes the model into the same `with strategy.scope():`",
                strategy=type(strategy).__name__,
                made_elsewhere=elsewhere[0],
            )
        )


def check_compile(model: keras.Model, steps_per_execution: int, jit_compile: Any, optimizers: Iterable[Any]) -> None:
    """Refuse what fails in Keras, or trains wrongly, under several replicas; called in the strategy's scope.

    Args:
        model: The model that is compiled.
        steps_per_execution, jit_compile: As in `compile`.
        optimizers: The optimizer, or the parts of one that has several.

    Raises:
        ValueError: An argument cannot be used, or this version of Keras builds models in another way.
    """
    strategy = checked(tf.distribute.get_strategy())
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return
    if not callable(getattr(keras.Model, BUILDS_FROM_DATA, None)):
        raise ValueError(
            message(
                f"a version of Keras whose models have {BUILDS_FROM_DATA}, to train on several replicas",
                "install keras>=3.15,<3.16",
                keras=keras.version(),
            )
        )
    if jit_compile is True:
        raise ValueError(
            message(
                f"no jit_compile on {replicas} replicas (XLA cannot reach the other devices' variables)",
                'leave it at "auto"',
                jit_compile=jit_compile,
            )
        )
    if steps_per_execution != 1:
        raise ValueError(
            message(
                f"one step per execution on {replicas} replicas (sums over replicas fail inside Keras' loop)",
                "leave it at 1",
                steps_per_execution=steps_per_execution,
            )
        )
    for part in optimizers:
        if steps := getattr(part, "gradient_accumulation_steps", None):
            raise ValueError(
                message(
                    f"no accumulation in the optimizer on {replicas} replicas (it would update inside a condition)",
                    "pass compile(micro_batches=...) and larger batches: the same update",
                    gradient_accumulation_steps=steps,
                )
            )
        if frequency := getattr(part, "ema_overwrite_frequency", None):
            raise ValueError(
                message(
                    f"no ema_overwrite_frequency on {replicas} replicas (weights would be set inside a condition)",
                    "leave it out, and pass keras.callbacks.SwapEMAWeights to fit",
                    ema_overwrite_frequency=frequency,
                )
            )
    synchronized = [layer.name for layer in _layers(model) if getattr(layer, "synchronized", False)]
    regularized = [layer.name for layer in _layers(model) if getattr(layer, "activity_regularizer", None) is not None]
    if synchronized and regularized:
        raise ValueError(
            message(
                f"no activity regularizer beside synchronized normalization on {replicas} replicas "
                "(Keras mixes up the replicas' activities)",
                "remove one of them",
                regularized=regularized,
                synchronized=synchronized,
            )
        )


def _layers(model: Any) -> list[keras.layers.Layer]:
    """All layers, those of models used as layers included."""
    found = []
    for layer in model.layers:
        found += [layer, *(_layers(layer) if hasattr(layer, "layers") else [])]
    return found
