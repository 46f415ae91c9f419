"""The logs of an epoch so far, between its batches."""

from typing import Any

from mtl_keras import distribute


def now_known(model: Any, logs: Any) -> dict[str, Any]:
    """Losses and metrics of the epoch so far on all replicas.

    Args:
        model: The model that trains.
        logs: What Keras hands to `on_train_batch_end`: of several replicas the mean of what each knows.

    Returns:
        What all replicas know together; of several workers `logs`, as all would have to read at the same time.
    """
    return model.get_metrics_result() if distribute.number_of_workers() == 1 else dict(logs or {})
