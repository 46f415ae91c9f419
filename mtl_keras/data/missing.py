"""Labels that are absent from a batch, made into labels with weight 0."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mtl_keras.errors import message


def complete(
    labels: Mapping[str, Any],
    specs: Mapping[str, tf.TensorSpec],
    sample_weight: Mapping[str, Any] | None = None,
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Give a batch every task's key: absent labels become zeros with sample weight 0.

    Args:
        labels: `{task: labels}` of one batch, some tasks absent or `None`; at least one present.
        specs: `{task: spec}` for every task, in the model's order: a `tf.TensorSpec` of one example's label.
        sample_weight: Weights [B] of the tasks that are there; 1 by default.

    Returns:
        Labels and sample weights ([B] float32) with all keys of `specs`, ready for `fit`.

    Raises:
        ValueError: A key of `labels` is not in `specs`, or all are absent.

    Example:
        >>> import tensorflow as tf
        >>> specs = {"age": tf.TensorSpec((), tf.float32), "sex": tf.TensorSpec((), tf.int32)}
        >>> labels, weights = complete({"sex": tf.constant([1, 0])}, specs)
        >>> labels["age"].numpy().tolist(), weights["age"].numpy().tolist(), weights["sex"].numpy().tolist()
        ([0.0, 0.0], [0.0, 0.0], [1.0, 1.0])
    """
    for name in labels:
        if name not in specs:
            raise ValueError(message(f"label keys among {list(specs)}", "correct the key, or drop it", key=name))
    there = {name: tf.convert_to_tensor(value) for name, value in labels.items() if value is not None}
    if not there:
        raise ValueError(message("labels of at least one task", "drop the batch", labels=list(labels)))
    size = tf.shape(next(iter(there.values())))[0]
    full: dict[str, tf.Tensor] = {}
    weights: dict[str, tf.Tensor] = {}
    for name, spec in specs.items():
        if name in there:
            full[name] = there[name]
            given = (sample_weight or {}).get(name)
            weights[name] = tf.ones([size]) if given is None else tf.cast(given, tf.float32)
        else:
            full[name] = tf.zeros(tf.concat([[size], spec.shape.as_list()], axis=0), spec.dtype)
            weights[name] = tf.zeros([size])
    return full, weights
